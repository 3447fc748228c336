// Finds the parts of the page and gives each what belongs to it.
import { captions } from "./caption.js";
import { cards } from "./card.js";
import { copyButtons } from "./copy.js";
import { Drawer } from "./drawer.js";
import { shortcuts } from "./keyboard.js";
import { resizable } from "./resize.js";
import { themeButtons } from "./theme.js";
import { relativeTimes } from "./time.js";
import { follow } from "./toc.js";
import { folders, scrollPlace, sheet } from "./tree.js";

const find = (name) => document.querySelector(`[data-${name}]`);

function dress(element) {
  copyButtons(element);
  relativeTimes(element);
}

function start() {
  themeButtons(document.querySelectorAll("[data-theme-button]"));
  dress(document);
  document.querySelectorAll("[data-prose]").forEach(captions);
  document.querySelectorAll("[data-toc]").forEach(follow);
  document.addEventListener("htmx:load", (event) => dress(event.target));
  document.addEventListener("lectern:html", (event) => dress(event.target));
  cards(document);

  const tree = find("tree");
  if (!tree) return;
  folders(tree);
  scrollPlace(tree);
  sheet(tree, find("tree-button"), find("tree-close"));

  const aside = find("drawer-aside");
  shortcuts(new Drawer(aside, find("ask-button")), aside);
  resizable(find("drawer-edge"));
}

// After htmx has looked at the page, which it does on the same event and was asked to do first.
document.addEventListener("DOMContentLoaded", start);
