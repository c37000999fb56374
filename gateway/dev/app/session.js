// The session as the gateway tells it. Asking does not extend it, so asking often is harmless.

import * as banners from "./banners.js";
import { button, card, facts, h } from "./elements.js";
import { duration } from "./format.js";
import { request } from "./traffic.js";

const EVERY = 15_000; // milliseconds

let current = null; // the latest answer of /bff/session
let read = 0; // when it came, by performance.now()
let timer = 0;
const health = h("span"); // of the tokens: followed, while the rest of the page stays as it is
const longest = { idle: 0, absolute: 0 };

/** Go to the login page and come back to where we are. Only ever called by a click. */
export function logIn() {
  const here = location.pathname + location.search;
  location.assign(`${current?.login_url ?? "/bff/login"}?return_to=${encodeURIComponent(here)}`);
}

// Another tab logged in as somebody else: this one acts for them from now on, so it has to say so.
function replaced() {
  banners.show("session", "warn", `You are now ${nameOf(current.user)}: somebody else logged in, in another tab.`);
}

function nameOf(user) {
  return user.name ?? user.preferred_username ?? user.sub;
}

function showHealth(tokens) {
  const healthy = tokens === "healthy";
  health.className = healthy ? "badge good" : "badge warn";
  health.textContent = healthy ? "healthy" : "degraded: the provider does not answer";
}

// The session is over: say so, offer a login, never start one by ourselves.
function ended() {
  banners.show("session", "warn", "Your session has ended.", ["Log in again", logIn]);
}

/** End the session here and at the identity provider. */
export async function logOut() {
  const answer = await request("POST", "/bff/logout");
  if (answer.status === 200) location.assign(answer.json.redirect_to);
  else if (answer.status === 401) refresh();
  else banners.explain(answer, logOut);
}

/** An API call met a 401: either the session is over, or it no longer opens the API. */
export async function refused() {
  await refresh();
  if (!current?.authenticated) return;
  banners.show("refused", "warn", "This login no longer opens the API.", ["Log in again", logIn]);
}

let changed = () => {};

/** Start polling; `onChange(session)` is called when somebody logged in or out. */
export async function start(onChange) {
  changed = onChange;
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  await refresh();
}

/** Ask the gateway who we are. */
export async function refresh() {
  again(EVERY);
  const answer = await request("GET", "/bff/session");
  if (banners.explain(answer, refresh) || answer.status !== 200) {
    if (current === null) changed(null);
    return;
  }
  const before = current;
  if (before?.authenticated && !answer.json.authenticated) ended();
  current = answer.json;
  read = performance.now();
  if (current.authenticated) {
    banners.hide("session");
    if (before?.authenticated && before.user.sub !== current.user.sub) replaced();
    showHealth(current.tokens);
    const left = Math.min(current.idle_expires_in, current.expires_in); // seconds
    again(Math.min(EVERY, Math.max(1, left + 1) * 1000)); // see the end when it comes, never spin
  }
  if (before?.session_id !== current.session_id || before === null) {
    longest.idle = longest.absolute = 0;
    changed(current);
  }
}

function again(milliseconds) {
  clearTimeout(timer);
  timer = setTimeout(refresh, milliseconds);
}

/** Return the panel about the person. */
export function whoPanel({ user, provider }) {
  const name = nameOf(user);
  const letters = name.split(/\s+/).filter(Boolean).map((word) => word[0]);
  const initials = letters.filter((letter) => letter === letter.toUpperCase()).slice(0, 2).join("");
  const groups = (user.groups ?? []).join(", ");
  return card("who", "Who I am",
    h("div", { class: "person" },
      h("span", { class: "face", "aria-hidden": "true" }, initials),
      h("div", {}, h("p", { class: "name" }, name), h("p", { class: "soft" }, user.email ?? ""))),
    facts([
      ["Subject", h("code", {}, user.sub)],
      groups ? ["Groups", groups] : null,
      ["Provider", provider],
      ["Tokens", health],
    ].filter(Boolean)));
}

/** Return the panel with the two countdowns. */
export function clockPanel() {
  const [idle, absolute] = [countdown("Until idle logout"), countdown("Until the session ends")];
  const tick = () => {
    if (!panel.isConnected && started) return clearInterval(ticking);
    started ||= panel.isConnected;
    const passed = (performance.now() - read) / 1000;
    idle.set(current.idle_expires_in - passed, "idle");
    absolute.set(current.expires_in - passed, "absolute");
  };
  const panel = card("clock", "Session clock", idle.element, absolute.element,
    h("p", { class: "soft small" },
      "A call to the API sets the first one back to its start, at most once a minute. ",
      "Looking at the session, as this page does every 15 seconds, does not."),
    button("Look now", refresh, "quiet"));
  let started = false;
  const ticking = setInterval(tick, 1000);
  tick();
  return panel;
}

function countdown(label) {
  const value = h("span", { class: "value" });
  const bar = h("progress", { max: 1, value: 1, "aria-label": label });
  const set = (seconds, which) => {
    longest[which] = Math.max(longest[which], seconds, 1);
    value.textContent = duration(seconds);
    bar.value = Math.max(0, seconds) / longest[which];
    bar.classList.toggle("low", seconds < 120);
  };
  return { set, element: h("div", { class: "countdown" }, h("span", {}, label), value, bar) };
}
