// What a test changes while the provider runs, and what it counts: one JSON document, on a loopback
// port of its own.
//   GET: {plan, grants, refused}    PUT: members of the plan    DELETE: everything as at the start
import { createServer } from 'node:http';

const START = {
  hold: 0, // seconds for which the answer to a refresh grant is held back, decided as it is
  grace: {}, // by account, seconds for which a refresh token that was used is taken once more
  rotates: true, // whether a refresh token is replaced when it is used
  first: 300, // seconds an access token lives that comes from a login,
  next: 300, // and one that comes from a refresh
  lose: 0, // how many answers to refresh grants get lost, decided as they are
  answers: [], // {status, headers, body} for so many requests for tokens, which nobody looks at
  down: false, // every connection is reset
};

export class Control {
  constructor(port) {
    this.forget();
    if (port) this.listen(port);
  }

  forget() {
    this.plan = structuredClone(START);
    this.grants = []; // {account, outcome} of every refresh grant, in the order they were decided
    this.refused = 0; // connections that were reset
  }

  listen(port) {
    this.server = createServer(async (request, response) => {
      let body = '';
      for await (const piece of request) body += piece;
      if (request.method === 'PUT') Object.assign(this.plan, JSON.parse(body));
      if (request.method === 'DELETE') this.forget();
      if (this.plan.down) this.guarded?.closeAllConnections();
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ plan: this.plan, grants: this.grants, refused: this.refused }));
    });
    this.server.listen(port, '127.0.0.1');
  }

  // Resets the connections of the provider's own server while it is down.
  guard(server) {
    this.guarded = server;
    server.on('connection', (socket) => {
      if (!this.plan.down) return;
      this.refused += 1;
      socket.resetAndDestroy();
    });
  }

  close() {
    this.server?.closeAllConnections();
    this.server?.close();
  }
}
