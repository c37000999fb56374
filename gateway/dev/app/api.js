// Calling the API, and what the API saw of a call.

import * as banners from "./banners.js";
import { button, card, facts, h } from "./elements.js";
import { duration } from "./format.js";
import * as session from "./session.js";
import { request } from "./traffic.js";

const CALLS = [
  ["Read orders", "GET", "/api/orders"],
  ["Place an order", "POST", "/api/orders", { body: { item: "Brass cogs", quantity: 3 } }],
  ["Read reports (not allowed)", "GET", "/api/reports/annual"],
  ["Stream", "GET", "/api/stream", { stream: true }],
  ["Public time", "GET", "/api/public/time"],
];

// [what it means from the gateway, what it means from the API]
const MEANINGS = {
  401: ["Without a login the gateway has no token to add.", "The API does not accept the access token."],
  403: [
    "The gateway did not pass this on: the login has no scope for this route.",
    "The API refused: the access token lacks a scope for this.",
  ],
  429: ["Too many calls. Please wait a moment.", "Too many calls. Please wait a moment."],
  502: ["The API cannot be reached.", "The API could not reach something behind it."],
  503: ["Not available just now. Nothing is lost.", "The API is not available just now."],
  504: ["The API did not answer in time.", "Something behind the API did not answer in time."],
};

function meaning({ status, code, title }) {
  if (status === 0) return "No answer: the gateway cannot be reached.";
  const [gateway, api] = MEANINGS[status] ?? [title && `${title}.`, ""];
  if (code === "") return api;
  return status >= 500 && title ? `${title}.` : gateway;
}

// The same call, as another app would write it.
function inCode(method, path, body) {
  const lines = [
    method === "GET" ? null : `  method: "${method}",`,
    `  headers: { "X-CSRF": "1"${body ? ', "Content-Type": "application/json"' : ""} },`,
    body ? `  body: JSON.stringify(${JSON.stringify(body)}),` : null,
  ];
  return [`const answer = await fetch("${path}", {`, ...lines.filter(Boolean), "});"].join("\n");
}

/** Return the panel with one button per call. */
export function callPanel() {
  const hint = "Press a button: the call goes to this origin, the gateway adds the token.";
  const result = h("div", { class: "result", "aria-live": "polite" }, h("p", { class: "soft" }, hint));
  const buttons = CALLS.map(([label, ...call]) => button(label, () => run(result, ...call)));
  return card("call", "Call the API", h("div", { class: "row" }, buttons), result);
}

async function run(result, method, path, { body, stream } = {}) {
  const line = h("p", { class: "call" }, h("code", {}, `${method} ${path}`));
  const output = h("pre", { tabindex: "0", "aria-label": "Answer" });
  const source = h("details", {}, h("summary", {}, "This call in code"), h("pre", { class: "code", tabindex: "0" }, inCode(method, path, body)));
  result.replaceChildren(line, h("p", { class: "soft" }, "Waiting …"), output);
  const onChunk = stream ? (text) => { output.textContent = text; } : undefined;
  const answer = await request(method, path, { body, onChunk });
  if (!output.isConnected) { // a newer call has taken the place
    settle(answer);
    return;
  }
  const tone = answer.status >= 200 && answer.status < 300 ? "good" : answer.status === 403 ? "warn" : "bad";
  line.append(
    h("span", { class: `badge ${tone}` }, answer.status || "no answer"),
    h("span", { class: "soft small" }, `${answer.ms} ms`));
  output.textContent = answer.json ? JSON.stringify(answer.json, null, 2) : answer.text;
  const failed = [0, 502, 503, 504].includes(answer.status);
  const when = failed && answer.retryAfter ? ` Try again in ${answer.retryAfter} s.` : "";
  const words = meaning(answer);
  result.replaceChildren(line, ...(words ? [h("p", {}, words + when)] : []), output);
  if (failed) result.append(button("Try again", () => run(result, method, path, { body, stream }), "main"));
  result.append(source);
  output.hidden = output.textContent === "";
  settle(answer);
}

function settle(answer) {
  if (answer.status === 401) session.refused();
  else if (answer.status !== 0) session.refresh(); // the call moved the idle deadline
}

/** Return the panel that shows a request as it arrived at the API. */
export function echoPanel() {
  const place = h("div", { "aria-live": "polite" }, h("p", { class: "soft" }, "Asking …"));
  async function ask() {
    const answer = await request("GET", "/api/echo/anything?x=1");
    if (answer.status === 200) place.replaceChildren(...seen(answer.json));
    else place.replaceChildren(h("p", {}, meaning(answer) || `The API answered ${answer.status}.`));
    if (answer.status === 401) session.refused();
    else banners.explain(answer, ask);
  }
  ask();
  return card("echo", "What the API saw", place, button("Ask again", ask, "quiet"));
}

function seen({ method, path, query, headers, token }) {
  const line = h("p", { class: "call" }, h("code", {}, `${method} ${path}${query ? `?${query}` : ""}`));
  const isBearer = ([name]) => name.toLowerCase() === "authorization";
  const bearer = headers.filter(isBearer).map(([, value]) => value);
  const rows = headers.map((line) =>
    h("tr", { class: isBearer(line) ? "marked" : "" }, h("th", { scope: "row" }, line[0]), h("td", {}, line[1])));
  const scopes = (token.scope ?? "").split(" ");
  const left = token.exp - Date.now() / 1000;
  return [
    line,
    facts([
      ["Authorization", h("code", {}, bearer.join(", ") || "none")],
      ["For", h("code", {}, token.sub ?? "")],
      ["Scopes", h("span", { class: "tags" }, scopes.map((scope) => h("code", {}, scope)))],
      ["Audience", h("code", {}, [token.aud].flat().join(", "))],
      ["Expires", left > 0 ? `in ${duration(left)}` : `${duration(-left)} ago`],
    ]),
    h("details", {}, h("summary", {}, `All ${headers.length} header lines, in order`),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Header lines" }, h("table", {}, h("tbody", {}, rows)))),
  ];
}
