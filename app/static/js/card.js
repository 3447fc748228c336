// Cards between the click and the answer. The server draws every state; here only focus is kept, and what an answer
// that is no card may do to one.

const UNREACHED = "Lectern could not be reached. Clicking again is safe: a card takes effect once at most.";

export function cards(element) {
  element.addEventListener("htmx:beforeSwap", (event) => {
    const card = event.target.closest("[data-card]");
    if (!card || event.detail.serverResponse.includes("data-card=")) return;
    // An error that is not a card must not take the person's edits away: it is shown inside.
    event.detail.swapOverride = "innerHTML";
    event.detail.target = problemOf(card);
  });
  element.addEventListener("htmx:afterSwap", (event) => {
    event.target.closest("[data-card]")?.querySelector("[data-card-title]")?.focus({ preventScroll: true });
    const problem = event.target.closest("[data-card-problem]");
    if (problem) problem.hidden = false;
  });
  // A line that is shown as several, because it is long, is still one line.
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || !event.target.matches("[data-line]")) return;
    event.preventDefault();
    event.target.form.requestSubmit();
  });
  element.addEventListener("input", ({ target }) => {
    if (!target.matches("[data-line]") || !/[\r\n]/.test(target.value)) return;
    target.value = target.value.replace(/[\r\n]+/g, " ");
  });
  for (const failure of ["htmx:sendError", "htmx:timeout"]) {
    element.addEventListener(failure, (event) => {
      const card = event.target.closest("[data-card]");
      if (!card) return;
      const problem = problemOf(card);
      problem.textContent = UNREACHED;
      problem.hidden = false;
    });
  }
}

function problemOf(card) {
  let problem = card.querySelector("[data-card-problem]");
  if (!problem) {
    problem = document.createElement("div");
    problem.className = "card-problem";
    problem.dataset.cardProblem = "";
    problem.setAttribute("role", "alert");
    card.querySelector("header").after(problem);
  }
  return problem;
}
