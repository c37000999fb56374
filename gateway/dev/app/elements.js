// Building elements without ever parsing HTML: text stays text, whatever an answer contains.

/** Return an element; `props` are attributes, `on…` listeners or booleans, children nodes or text. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

/** Return a card: a section named by its heading. */
export function card(id, title, ...children) {
  const heading = h("h2", { id: `${id}-title` }, title);
  return h("section", { class: "card", id, "aria-labelledby": `${id}-title` }, heading, children);
}

/** Return a button. */
export function button(label, onclick, kind = "") {
  return h("button", { type: "button", class: kind, onclick }, label);
}

/** Return a list of names and values. */
export function facts(pairs) {
  const rows = pairs.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
  return h("dl", { class: "facts" }, rows.flat());
}
