// What is within reach: where the drawer or the tree covers the page, the page behind it takes no focus and no click.

export const WIDE = window.matchMedia("(min-width: 60rem)");

export function settleReach() {
  const { drawer, tree } = document.documentElement.dataset;
  const isSheet = tree === "sheet";
  const covers = drawer === "open" && !WIDE.matches;
  const set = (selector, inert) => document.querySelectorAll(selector).forEach((part) => (part.inert = inert));
  set(".top, .main, .skip", isSheet || covers);
  set(".tree", covers);
  set(".drawer", isSheet);
}
