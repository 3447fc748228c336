// Keeps the end of a growing list in sight until the person scrolls up. Knows a scroller, its content and a button.

const NEAR_PX = 40; // Closer than this counts as being at the end.
const FAR_PX = 160; // Farther than this and the way back is offered.

export class Follow {
  #scroller;
  #button;
  #observer;
  #active = false;
  #atEnd = true;
  #top = 0;

  constructor(scroller, content, button) {
    this.#scroller = scroller;
    this.#button = button;
    scroller.addEventListener("scroll", () => this.#look(), { passive: true });
    button.addEventListener("click", () => this.toEnd());
    this.#observer = new ResizeObserver(() => this.#grown());
    this.#observer.observe(content);
    this.#observer.observe(scroller);
  }

  /** While active, growth is followed; otherwise the list stays where it is. */
  set active(value) {
    this.#active = value;
  }

  toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#atEnd = true;
    this.#button.hidden = true;
  }

  close() {
    this.#observer.disconnect();
  }

  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    const distance = scrollHeight - scrollTop - clientHeight;
    // The list may have grown since we scrolled: only a person moves it up and away from the end.
    if (distance < NEAR_PX) this.#atEnd = true;
    else if (scrollTop < this.#top) this.#atEnd = false;
    this.#top = scrollTop;
    this.#button.hidden = distance < FAR_PX;
  }

  #grown() {
    if (this.#active && this.#atEnd) this.toEnd();
    else this.#look();
  }
}
