// The sample app: which page to show, and to whom.

import { callPanel, echoPanel } from "./api.js";
import * as banners from "./banners.js";
import { button, card, h } from "./elements.js";
import { livePanel } from "./live.js";
import { proofPanel } from "./proof.js";
import * as session from "./session.js";
import { sessionsPanel } from "./sessions.js";

const LOGIN_ERRORS = {
  access_denied: "You did not log in: the login was declined.",
  login_required: "You are not logged in at the identity provider.",
  interaction_required: "The identity provider wants to ask you something first. Please log in.",
  temporarily_unavailable: "The identity provider is not available just now. Please try again.",
};

const RECIPES = [
  ["Who is logged in", `\
const answer = await fetch("/bff/session", {
  headers: { "X-CSRF": "1" },
});
const { authenticated, user } = await answer.json();`],
  ["Log in, and come back here", `\
const here = location.pathname + location.search;
location.assign(
  "/bff/login?return_to=" + encodeURIComponent(here),
);`],
  ["Call the API", `\
const answer = await fetch("/api/orders", {
  headers: { "X-CSRF": "1" },
});
// 401: offer the login.
// 503: try again after Retry-After;
//      nobody has been logged out.`],
  ["Log out", `\
const answer = await fetch("/bff/logout", {
  method: "POST",
  headers: { "X-CSRF": "1" },
});
location.assign((await answer.json()).redirect_to);`],
];

const main = document.getElementById("main");
const me = document.getElementById("me");
const proof = proofPanel();
const live = livePanel();
let shown = null; // the session the page was drawn for

function home() {
  if (shown === null) return [h("div", { class: "hero" }, h("h1", {}, "One moment …"))];
  if (!shown.authenticated) {
    return [
      welcome(),
      h("div", { class: "columns" }, h("div", { class: "column" }, explanation(), callPanel()), proof),
    ];
  }
  const first = (shown.user.name ?? shown.user.sub).split(" ")[0];
  return [
    h("h1", {}, `Hello, ${first}`),
    h("div", { class: "columns" },
      h("div", { class: "column" }, session.whoPanel(shown), callPanel(), echoPanel()),
      h("div", { class: "column" }, proof, session.clockPanel(), live, sessionsPanel())),
  ];
}

function welcome() {
  return h("div", { class: "hero" },
    h("h1", {}, "A single-page app without tokens"),
    h("p", {},
      "Log in, call an API, and look wherever you like: no access token ever reaches this browser. ",
      "The session gateway keeps them, and adds them to your calls."),
    button("Log in", session.logIn, "main large"));
}

function explanation() {
  return card("how", "What happens when you log in",
    h("ol", {},
      h("li", {}, "The gateway sends you to the identity provider, and takes you back here."),
      h("li", {}, "It fetches the tokens itself and seals them in its store."),
      h("li", {}, "Your browser gets one cookie that no script can read.")),
    h("p", {}, h("a", { href: "/about", "data-link": true }, "The same in your own app")));
}

function about() {
  return [h("article", { class: "text" },
    h("h1", {}, "About"),
    h("p", {},
      "This address, ", h("code", {}, "/about"), ", exists only inside the app. Reload it: the gateway ",
      "finds no such file and answers with the app itself, which then shows this page (history fallback)."),
    h("p", {}, "There is no build step: a few ES modules, one style sheet, nothing from elsewhere."),
    h("h2", {}, "The same in your own app"),
    RECIPES.flatMap(([what, code]) => [h("h3", {}, what), h("pre", { class: "code", tabindex: "0" }, code)]),
    h("h2", {}, "Your own app in the place of this one"),
    h("p", {}, "Its development server or its built folder, and your API:"),
    h("pre", { class: "code", tabindex: "0" }, "gateway dev --app http://localhost:5173 --api http://127.0.0.1:3000"),
    h("p", {}, h("a", { href: "/", "data-link": true }, "Back to the start")))];
}

function missing() {
  return [h("article", { class: "hero" },
    h("h1", {}, "Nothing here"),
    h("p", {}, "The app has no page at this address."),
    h("a", { href: "/", "data-link": true }, "Back to the start"))];
}

const PAGES = { "/": ["Sample app", home], "/about": ["About · Sample app", about] };

function draw() {
  const [title, page] = PAGES[location.pathname] ?? ["Nothing here · Sample app", missing];
  document.title = title;
  main.replaceChildren(...page());
  me.replaceChildren(...(shown?.authenticated ? badge() : shown ? [button("Log in", session.logIn)] : []));
  for (const link of document.querySelectorAll("nav [data-link]")) {
    if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function badge() {
  const name = shown.user.name ?? shown.user.preferred_username ?? shown.user.sub;
  return [h("span", { class: "soft user" }, name), button("Log out", session.logOut)];
}

function go(event) {
  const link = event.target.closest?.("a[data-link]");
  const special = event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey;
  if (!link || special || event.defaultPrevented) return;
  event.preventDefault();
  if (link.pathname !== location.pathname) history.pushState(null, "", link.pathname);
  draw();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function sayWhyLoginFailed() {
  const url = new URL(location.href);
  const error = url.searchParams.get("auth_error");
  if (error === null) return;
  const code = /^[a-z_.]{1,40}$/.test(error) ? ` (${error})` : "";
  banners.show("login", "warn", LOGIN_ERRORS[error] ?? `The login did not work${code}.`);
  url.searchParams.delete("auth_error");
  history.replaceState(null, "", url);
}

document.addEventListener("click", go);
addEventListener("popstate", draw);
sayWhyLoginFailed();
draw();
await session.start((fresh) => {
  shown = fresh;
  if (fresh?.authenticated) banners.hide("login");
  draw();
});
