// Messages above the page. One per kind: the newest wins, nothing piles up.

import { button, h } from "./elements.js";

const place = document.getElementById("banners");

/** Show a message; `actions` are `[label, onclick]`. */
export function show(kind, tone, words, ...actions) {
  hide(kind);
  const buttons = actions.map(([label, onclick]) => button(label, onclick, "main"));
  const close = button("×", () => hide(kind), "close");
  close.setAttribute("aria-label", "Close this message");
  place.append(h("div", { class: `banner ${tone}`, "data-kind": kind }, h("p", {}, words), buttons, close));
}

/** Take a message away. */
export function hide(kind) {
  place.querySelector(`[data-kind="${kind}"]`)?.remove();
}

/** Explain a request that brought no usable answer; true if there was something to explain. */
export function explain(answer, retry) {
  if (answer.status === 0) {
    show("outage", "warn", "The gateway cannot be reached. Nothing is lost.", ["Try again", retry]);
    return true;
  }
  if ([502, 503, 504].includes(answer.status)) {
    const when = answer.retryAfter ? ` in ${answer.retryAfter} s` : " in a moment";
    const what = answer.title || "Something behind the gateway does not answer";
    const words = `${what}. Nothing is lost; please try again${when}.`;
    show("outage", "warn", words, ["Try again", retry]);
    return true;
  }
  hide("outage");
  return false;
}
