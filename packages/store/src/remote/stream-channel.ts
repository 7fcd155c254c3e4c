/**
 * A channel over two streams that are there already: the standard ones of a program that ssh has
 * started, or those of a socket.
 * @module
 */
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { type Channel, PeerGoneError } from "./connection.ts";

/** The streams' channel; what is written is not lost when it ends. @param name the peer, for messages */
export function streamChannel(name: string, input: Readable, output: Writable): Channel {
  const closed = new Promise<void>((resolve) => output.once("close", resolve).once("error", () => resolve()));
  return {
    name,
    input,
    async write(bytes) {
      if (output.destroyed || output.writableEnded || output.errored !== null) throw new PeerGoneError(name);
      if (output.write(bytes)) return;
      const drained = once(output, "drain").catch(() => {
        throw new PeerGoneError(name);
      });
      await Promise.race([drained, closed]);
    },
    end: () => void output.end(),
    destroy() {
      input.destroy();
      output.end();
    },
    ended: async () => undefined,
  };
}
