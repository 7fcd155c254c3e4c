/**
 * How long a peer that owes an answer may say nothing. A link that stalls is not closed: without this, whoever
 * waits on it waits for ever. Every byte counts as an answer, so that a slow link is none that stalls.
 * @module
 */
import { NetworkError } from "@imgtool/core";

/** What HTTP servers are given, too; milliseconds. */
export const defaultSilence = 30_000;

/** A person may have to type a passphrase, or say whether a host's key is right; milliseconds. */
const personalSilence = 120_000;

/** What has come while this process stood still is read before it is missed; milliseconds. */
const grace = 100;

export class SilenceWatch {
  readonly #peer: string;
  readonly #milliseconds: number;
  readonly #onSilence: (error: NetworkError) => void;
  #awaited: (() => string) | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** How long the wait under way may take. */
  #patience = 0;

  /** @param onSilence told once for each wait that was in vain */
  constructor(peer: string, milliseconds: number, onSilence: (error: NetworkError) => void) {
    this.#peer = peer;
    this.#milliseconds = milliseconds;
    this.#onSilence = onSilence;
  }

  /** From now on the peer owes something, unless it did so already; `awaited` says what, for messages. */
  expect(awaited: () => string): void {
    this.#awaited = awaited;
    if (this.#timer === undefined) this.#start(this.#milliseconds);
  }

  /** As expect(), of a peer that ssh has yet to reach: where there is a terminal, it may ask a person. */
  expectGreeting(): void {
    this.#awaited = () => "its greeting";
    this.#start(process.stdin.isTTY ? Math.max(this.#milliseconds, personalSilence) : this.#milliseconds);
  }

  /** Bytes have come. */
  heard(): void {
    if (this.#timer !== undefined) this.#start(this.#patience);
  }

  /** The peer owes nothing. */
  rest(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #start(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#patience = milliseconds;
    this.#timer = setTimeout(() => {
      this.#timer = setTimeout(() => this.#end(), grace);
    }, milliseconds);
  }

  #end(): void {
    const expected = this.#awaited?.() ?? "an answer";
    this.rest();
    this.#onSilence(
      new NetworkError(`${this.#peer} has said nothing for ${this.#patience / 1000} s: expected ${expected}`, {
        code: "remote-timeout",
        hint: "check the connection to that machine, or wait longer with --timeout",
        data: { peer: this.#peer, milliseconds: this.#patience, expected },
      }),
    );
  }
}

/** The same bytes, of which the watch hears. */
export async function* watched(
  input: AsyncIterable<Uint8Array>,
  watch: SilenceWatch,
): AsyncGenerator<Uint8Array, void> {
  for await (const bytes of input) {
    watch.heard();
    yield bytes;
  }
}
