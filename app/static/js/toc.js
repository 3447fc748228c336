// The table of contents: marks the section that is being read.

const READING_LINE = 0.15;

/** Watches the headings that `toc` links to and marks the last one that has reached the top of the window. */
export function follow(toc) {
  const links = new Map();
  for (const link of toc.querySelectorAll('a[href^="#"]')) {
    const heading = document.getElementById(decodeURIComponent(link.hash.slice(1)));
    if (heading) links.set(heading, link);
  }
  if (links.size === 0) return;
  const rootMargin = `0px 0px -${(1 - READING_LINE) * 100}% 0px`;
  const observer = new IntersectionObserver(() => mark(links), { rootMargin });
  for (const heading of links.keys()) observer.observe(heading);
  window.addEventListener("scrollend", () => mark(links), { passive: true });
  mark(links);
}

function mark(links) {
  const current = read([...links.keys()]);
  for (const [heading, link] of links) {
    if (heading === current) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  links.get(current)?.scrollIntoView({ block: "nearest", behavior: "instant" });
}

function read(headings) {
  const { scrollHeight } = document.documentElement;
  const isEnd = window.scrollY > 0 && window.innerHeight + window.scrollY >= scrollHeight - 2;
  // The last sections may be too short to reach the top: then the one that was asked for, or the last.
  const isAskedFor = (heading) => heading.matches(":target") && heading.getBoundingClientRect().top >= 0;
  if (isEnd) return headings.find(isAskedFor) ?? headings.at(-1);
  const line = window.innerHeight * READING_LINE;
  return headings.findLast((heading) => heading.getBoundingClientRect().top < line);
}
