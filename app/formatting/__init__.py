"""Untrusted text to safe HTML. Heavy to load and slow on purpose-made input, so only the rendering
process imports it; the server talks to that process through `app.rendering`.
"""
