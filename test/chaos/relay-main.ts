/** Takes connections at an address of its namespace and hands each to a Unix socket, for site-link.ts. */
import { createConnection, createServer, type Socket } from "node:net";

const [address, port, socket] = process.argv.slice(2);
if (address === undefined || socket === undefined) throw new Error("relay-main.ts ADDRESS PORT SOCKET");

const server = createServer((incoming) => {
  const outgoing = createConnection(socket);
  const join = (from: Socket, to: Socket): void => {
    from.on("error", () => undefined).on("close", () => to.destroy());
    from.pipe(to);
  };
  incoming.setNoDelay(true);
  join(incoming, outgoing);
  join(outgoing, incoming);
});
server.listen(Number(port), address, () => {
  console.log("listening");
});
// Whoever started this is gone.
process.stdin.resume().on("end", () => process.exit(0));
