// Every request this app makes goes through here, so that what came back can be looked at.

import { inspectAnswer } from "./proof.js";

/**
 * What became of a request:
 * `{ status, ms, headers, text, json, code, title, retryAfter }`; status 0 means no answer at all.
 */
export async function request(method, path, { body, onChunk } = {}) {
  const headers = { "X-CSRF": "1", Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const started = performance.now();
  const since = () => Math.round(performance.now() - started);
  try {
    const response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      redirect: "error", // an API answers; a redirect would be the login page of somebody else
    });
    const text = await read(response, onChunk);
    inspectAnswer(`${method} ${path}`, response.headers, text);
    const json = parse(response, text);
    return {
      status: response.status,
      ms: since(),
      headers: response.headers,
      text,
      json,
      // Whose answer it is: the gateway's own have a stable code (docs/errors.md), an API's whatever it likes.
      code: isProblem(response) ? json?.code ?? "" : "",
      title: isProblem(response) ? json?.title ?? "" : "",
      retryAfter: Number.parseInt(response.headers.get("Retry-After") ?? "", 10) || 0,
    };
  } catch {
    return { status: 0, ms: since(), headers: new Headers(), text: "", json: null, code: "", title: "", retryAfter: 0 };
  }
}

async function read(response, onChunk) {
  if (!onChunk || !response.ok || !response.body) return response.text();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    text += piece.value;
    onChunk(text);
  }
  return text;
}

function isProblem(response) {
  return /^application\/problem\+json\b/.test(response.headers.get("Content-Type") ?? "");
}

function parse(response, text) {
  if (!/\bjson\b/.test(response.headers.get("Content-Type") ?? "")) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
