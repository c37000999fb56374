// "No token here": looks for tokens wherever a script in this page could find one.

import { button, card, h } from "./elements.js";
import { size } from "./format.js";

// Three base64url parts, of which the first begins with "{": a host name has three parts, too.
const JWT = /\be[w-z][A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}/g;
const LONG = /[A-Za-z0-9_~+=-]{40,}/g;
const TRACE = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/; // W3C trace context: an id

const answers = { count: 0, lines: 0, octets: 0, findings: [] };
let listener = () => {};

/** Look through an answer as it comes in; only counts and findings are kept. */
export function inspectAnswer(name, headers, text) {
  answers.count += 1;
  answers.octets += text.length;
  answers.findings.push(...suspects(text, `body of ${name}`));
  for (const [field, value] of headers) {
    answers.lines += 1;
    answers.findings.push(...suspects(value, `${field} of ${name}`));
  }
  listener();
}

/** Return what in a text looks like a token: three base64url parts, or a long random word. */
export function suspects(text, where) {
  const jwts = [...text.matchAll(JWT)].map(([match]) => ({ where, what: "looks like a JWT", match }));
  const rest = text.replace(JWT, " ");
  const words = [...rest.matchAll(LONG)]
    .map(([match]) => match)
    .filter((word) => /[0-9]/.test(word) && /[A-Za-z]/.test(word) && !TRACE.test(word))
    .map((match) => ({ where, what: "a long secret", match }));
  return [...jwts, ...words].map(({ match, ...finding }) => ({
    ...finding,
    sample: `${match.slice(0, 8)}… (${match.length} characters)`,
  }));
}

async function look() {
  const places = [
    ["Cookies a script can read", document.cookie, count(document.cookie ? document.cookie.split(";").length : 0, "cookie")],
    ["localStorage", dump(() => localStorage), entries(() => localStorage)],
    ["sessionStorage", dump(() => sessionStorage), entries(() => sessionStorage)],
    ["IndexedDB", ...(await names(() => indexedDB.databases(), (one) => one.name, "database"))],
    ["Cache storage", ...(await names(() => caches.keys(), (key) => key, "cache"))],
    ["Address, fragment, window.name", `${location.href} ${window.name}`, "1 address"],
  ];
  const checks = places.map(([where, text, counted]) => ({ where, counted, findings: suspects(text, where) }));
  checks.push({
    where: "All answers so far",
    counted: `${count(answers.count, "answer")}, ${size(answers.octets)}, ${count(answers.lines, "header line")}`,
    findings: answers.findings,
  });
  return checks;
}

/** Return the panel; it follows every answer that comes in. */
export function proofPanel() {
  const verdict = h("p", { class: "verdict", role: "status" });
  const list = h("ul", { class: "checks" });
  let shown = "";
  const update = async () => {
    const checks = await look();
    const findings = checks.flatMap((check) => check.findings);
    const words = findings.length === 0 ? "No token found" : `${count(findings.length, "suspect")} found`;
    verdict.classList.toggle("bad", findings.length > 0);
    if (words !== shown) verdict.replaceChildren(mark(findings.length === 0), (shown = words)); // announced once
    list.replaceChildren(...checks.map(row));
  };
  listener = update;
  update();
  return card(
    "proof",
    "No token here",
    verdict,
    list,
    h("p", { class: "soft small" },
      "A session cookie is HttpOnly: no script can read it. Tokens stay at the gateway."),
    button("Look again", update, "quiet"),
  );
}

function row({ where, counted, findings }) {
  const details = findings.slice(0, 5).map((one) => h("li", {}, `${one.where}: ${one.what}, ${one.sample}`));
  return h("li", { class: findings.length ? "bad" : "" },
    mark(findings.length === 0),
    h("span", { class: "where" }, where),
    h("span", { class: "soft" }, counted),
    details.length ? h("ul", {}, details) : null);
}

function mark(good) {
  return h("span", { class: good ? "mark good" : "mark bad", role: "img", "aria-label": good ? "clean:" : "warning:" },
    good ? "✓" : "!");
}

function count(number, noun) {
  if (number === 0) return `no ${noun === "address" ? noun : `${noun}s`}`;
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function dump(storage) {
  try {
    return Object.entries(storage()).flat().join(" ");
  } catch {
    return "";
  }
}

function entries(storage) {
  try {
    const found = storage().length;
    return found === 0 ? "empty" : `${found} ${found === 1 ? "entry" : "entries"}`;
  } catch {
    return "not available";
  }
}

async function names(list, nameOf, noun) {
  try {
    const found = (await list()).map(nameOf);
    return [found.join(" "), count(found.length, noun)];
  } catch {
    return ["", "not available"];
  }
}
