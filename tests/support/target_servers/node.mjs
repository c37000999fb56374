// Answers with the request-target it received, and prints it: `node node.mjs PORT`.
import { createServer } from "node:http";

const server = createServer((request, response) => {
  console.log(`target ${request.url}`);
  request.resume();
  request.on("end", () => response.end(Buffer.from(request.url, "latin1")));
});
server.on("clientError", (error, socket) => {
  console.log(`strange ${error.code}`);
  socket.destroy();
});
server.listen(Number(process.argv[2]), "127.0.0.1");
