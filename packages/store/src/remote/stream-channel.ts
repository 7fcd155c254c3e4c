/**
 * A channel over two streams that are there already: the standard ones of a program that ssh has
 * started, or those of a socket.
 * @module
 */
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { paced, pacedInput, type RateLimit } from "../rate-limit.ts";
import { type Channel, PeerGoneError } from "./connection.ts";

/**
 * The streams' channel; what is written is not lost when it ends.
 * @param name the peer, for messages
 * @param rateLimit of what is received and sent
 */
export function streamChannel(name: string, input: Readable, output: Writable, rateLimit?: RateLimit): Channel {
  const closed = new Promise<void>((resolve) => output.once("close", resolve).once("error", () => resolve()));
  return {
    name,
    input: rateLimit === undefined ? input : pacedInput(input, rateLimit),
    async write(bytes) {
      if (output.destroyed || output.writableEnded || output.errored !== null) throw new PeerGoneError(name);
      const isDrained = output.write(bytes);
      // Behind the write, which keeps its place among others: whoever awaits it is held back.
      await paced(rateLimit, bytes.length);
      if (isDrained || !output.writableNeedDrain) return;
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
