// A WebSocket to the API: what it says comes back, and it ends with the session.

import { button, card, h } from "./elements.js";
import * as session from "./session.js";

const SESSION_ENDED = 4401; // the gateway's close code: docs/websockets.md
const LINES = 8;

/** Return the panel; make it once, so that an open WebSocket outlives a redrawn page. */
export function livePanel() {
  const lines = h("pre", { tabindex: "0", "aria-label": "WebSocket", "aria-live": "polite", hidden: true });
  const open = button("Open a WebSocket", connect);
  const hello = button("Say hello", () => socket?.send("hello"));
  let socket = null;

  function say(line) {
    lines.hidden = false;
    lines.textContent = [...lines.textContent.split("\n"), line].filter(Boolean).slice(-LINES).join("\n");
  }

  function show() {
    open.disabled = socket !== null;
    hello.disabled = socket?.readyState !== WebSocket.OPEN;
  }

  function connect() {
    socket = new WebSocket(new URL("/api/live", location.href.replace(/^http/, "ws")));
    socket.onopen = () => { say("open"); show(); };
    socket.onmessage = ({ data }) => say(`the API says: ${data}`);
    socket.onclose = ({ code, reason }) => {
      socket = null;
      say(`closed: ${code} ${reason}`.trim());
      show();
      if (code === SESSION_ENDED) session.refresh(); // said at once, not at the next look
    };
    show();
  }

  show();
  return card("live", "A live channel",
    h("p", { class: "soft" },
      "Open it, then log out in another tab: the gateway closes it with code 4401, and this page knows at once."),
    h("div", { class: "row" }, open, hello), lines);
}
