// The person's own sessions, here and in other browsers, and ending them.

import * as banners from "./banners.js";
import { button, card, h } from "./elements.js";
import { ago, browser, exactly, roughly } from "./format.js";
import * as session from "./session.js";
import { request } from "./traffic.js";

/** Return the panel; it fills itself. */
export function sessionsPanel() {
  const list = h("ul", { class: "sessions", "aria-live": "polite" }, h("li", { class: "soft" }, "Loading …"));
  const others = button("End all others", () => end("/bff/sessions"), "quiet");

  async function load() {
    const answer = await request("GET", "/bff/sessions");
    if (answer.status === 401) return session.refresh();
    if (banners.explain(answer, load) || answer.status !== 200) return undefined;
    const found = answer.json.sessions;
    list.replaceChildren(...found.map((one) => row(one, end)));
    others.disabled = !found.some((one) => !one.current);
    return undefined;
  }

  async function end(path) {
    const answer = await request("DELETE", path);
    if (!banners.explain(answer, () => end(path))) await Promise.all([load(), session.refresh()]);
  }

  load();
  return card("sessions", "My sessions", list, h("div", { class: "row" }, others, button("Reload", load, "quiet")));
}

function row(one, end) {
  const name = browser(one.user_agent);
  const label = `End the session ${one.current ? "in this browser" : `in ${name}, started ${ago(one.created_at)}`}`;
  const mine = one.current ? h("span", { class: "badge good" }, "this one") : null;
  const facts = [
    one.address,
    `started ${ago(one.created_at)}`,
    `active ${ago(one.last_seen)}`,
    `ends in ${roughly(Math.min(one.expires_in, one.idle_expires_in))}`,
  ];
  const stop = button("End", () => end(`/bff/sessions/${encodeURIComponent(one.session_id)}`), "quiet");
  stop.setAttribute("aria-label", label);
  return h("li", {},
    h("div", {},
      h("p", { class: "name", title: one.user_agent }, name, mine),
      h("p", { class: "soft small", title: exactly(one.created_at) }, facts.filter(Boolean).join(" · "))),
    stop);
}
