"""The simulated Forgejo's pages as Jinja sources, and their style. Escaping is the renderer's."""

BASE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }} · Simulated Forgejo</title>
<link rel="stylesheet" href="{{ root }}/-/style.css">
</head>
<body>
<header><a href="{{ root }}/">Simulated Forgejo</a>
<span>Part of the demo. Nothing here leaves this computer, and it forgets when the demo ends.</span>
</header>
<main>{% block main %}{% endblock %}</main>
</body>
</html>
"""

CHIPS = """{% macro chips(labels) %}{% for label in labels %}<span class="label">
<svg width="10" height="10" aria-hidden="true">
<circle cx="5" cy="5" r="5" fill="#{{ label.color }}"/></svg>{{ label.name }}</span>
{% endfor %}{% endmacro %}
"""

HOME = """{% extends "base" %}{% block main %}
<h1>{{ title }}</h1>
<p>This stands in for a real forge while you try Lectern. The issues you create from a card arrive
here.</p>
<ul>{% for each in repositories %}
<li><a href="{{ root }}/{{ each.full_name }}/issues">{{ each.full_name }}</a>
<small>{{ each.issues | length }} issues</small></li>{% endfor %}
</ul>{% endblock %}
"""

ISSUES = """{% extends "base" %}{% from "chips" import chips %}{% block main %}
<h1>{{ title }}</h1>
<ul class="issues">{% for issue in issues %}
<li><a href="{{ root }}/{{ full_name }}/issues/{{ issue.number }}">{{ issue.title }}</a>
{{ chips(issue.labels) }}
<small>#{{ issue.number }} · {{ issue.state }} · {{ issue.author }}</small></li>
{% else %}<li>No issues yet.</li>{% endfor %}</ul>{% endblock %}
"""

ISSUE = """{% extends "base" %}{% from "chips" import chips %}{% block main %}
<p><a href="{{ root }}/{{ full_name }}/issues">{{ full_name }}</a></p>
<h1>{{ issue.title }} <small>#{{ issue.number }}</small></h1>
<p><span class="state">{{ issue.state | capitalize }}</span> opened by {{ issue.author }} on
<time datetime="{{ issue.created.isoformat() }}">
{{ issue.created.strftime("%d %B %Y, %H:%M") }}</time>
{{ chips(issue.labels) }}</p>
<article>{{ body or "No description." }}</article>{% endblock %}
"""

MISSING = """{% extends "base" %}{% block main %}
<h1>{{ title }}</h1><p>There is nothing at this address.</p>{% endblock %}
"""

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #2b2621; --paper: #fbf9f5; --line: #ddd6ca; --tint: #f1ede4; --accent: #9a4a12;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e9e3d9; --paper: #1d1b18; --line: #3d3831; --tint: #282520; --accent: #f0a36b;
  }
}
body {
  margin: 0; font: 1rem/1.6 system-ui, sans-serif; color: var(--ink); background: var(--paper);
}
header {
  padding: .75rem 1.5rem; border-bottom: 1px solid var(--line); background: var(--tint);
}
header a { font-weight: 600; margin-right: 1rem; }
a { color: var(--accent); }
main { max-width: 46rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; line-height: 1.3; overflow-wrap: anywhere; }
small { font-weight: 400; opacity: .8; }
ul { padding-left: 1.2rem; }
.issues { list-style: none; padding: 0; }
.issues li { padding: .6rem 0; border-bottom: 1px solid var(--line); }
.label {
  display: inline-flex; align-items: center; gap: .35rem; margin-right: .5rem; padding: 0 .5rem;
  font-size: .9rem; border: 1px solid var(--line); border-radius: 1rem;
}
.state { font-weight: 600; }
article {
  padding: 1rem; white-space: pre-wrap; overflow-wrap: anywhere;
  border: 1px solid var(--line); border-radius: 6px; background: var(--tint);
}
"""
