/**
 * How a guest says with which status it ends: it writes the number to a port that QEMU gives it,
 * `echo 3 >/dev/virtio-ports/io.imgtool.exit-status`, and powers off. That needs nothing of the host,
 * and of the guest only the driver virtio_console.
 * @module
 */
import { once } from "node:events";
import { createServer, type Server } from "node:net";

/** More than any number from 0 to 255 takes; what a guest writes beyond it is dropped. */
const longest = 16;

export interface StatusReceiver extends Disposable {
  /** The last number that the guest has sent, or undefined. */
  status(): number | undefined;
}

/** Listens on a Unix socket; QEMU connects to it. */
export async function receiveStatus(socketPath: string): Promise<StatusReceiver> {
  let tail = "";
  const server: Server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.on("data", (bytes: Buffer) => {
      tail = `${tail}${bytes.toString("latin1")}`.slice(-longest);
    });
  });
  server.listen(socketPath);
  await once(server, "listening");
  return {
    status: () => parseStatus(tail),
    [Symbol.dispose]() {
      server.close();
    },
  };
}

/** The number at the end of what was received; undefined when that is none from 0 to 255. */
export function parseStatus(text: string): number | undefined {
  const number = /(?:^|\D)(\d{1,3})\s*$/.exec(text)?.[1];
  return number === undefined || Number(number) > 255 ? undefined : Number(number);
}
