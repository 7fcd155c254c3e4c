/**
 * Cuts a peer's stream into messages. A frame's header is checked before anything of it is kept, so
 * that no more than one frame of a size that its type allows is ever in memory. Pure.
 * @module
 */
import { decodeFrame, decodeHeader, frameError, type FrameHeader, frameHeaderSize, type Message } from "./messages.ts";

export class FrameReader {
  /** The header under way, and then the frame, as far as it has come. */
  readonly #head = new Uint8Array(frameHeaderSize);
  #frame: Uint8Array = this.#head;
  #length = 0;
  #header: FrameHeader | undefined;
  /** Offset of the frame under way. */
  #offset = 0;
  #greeted = false;

  /**
   * Takes the next bytes of the stream, yields the messages that end in them. They may be views of
   * the bytes.
   * @throws FormatError `protocol-frame`
   */
  *push(bytes: Uint8Array): Generator<Message, void> {
    for (let from = 0; from < bytes.length;) {
      const left = bytes.length - from;
      if (this.#length === 0 && left >= frameHeaderSize) {
        // A frame that is here whole is not copied.
        const { size } = this.#checkHeader(bytes.subarray(from, from + frameHeaderSize));
        if (left >= size) {
          yield this.#decode(bytes.subarray(from, from + size));
          from += size;
          continue;
        }
      }
      const count = Math.min(this.#frame.length - this.#length, left);
      this.#frame.set(bytes.subarray(from, from + count), this.#length);
      this.#length += count;
      from += count;
      if (this.#length < this.#frame.length) continue;
      if (this.#header === undefined) this.#begin();
      if (this.#length === this.#frame.length) {
        const frame = this.#frame;
        this.#frame = this.#head;
        this.#length = 0;
        this.#header = undefined;
        yield this.#decode(frame);
      }
    }
  }

  /**
   * The stream has ended. Amid a frame that is for the network to explain: all that has come of it was right.
   * @returns whether it has ended between two frames
   * @throws FormatError `protocol-frame` for the few bytes of something else, such as a shell's words
   */
  finish(): boolean {
    if (this.#length === 0) return true;
    // The size comes first, and that of a greeting has one byte, that of an abort no more than three.
    const isGreeting = this.#head.subarray(3, Math.min(this.#length, 8)).every((byte) => byte === 0);
    if (!this.#greeted && this.#header === undefined && !isGreeting)
      throw frameError(this.#offset, "the stream does not begin with a greeting", "hello", `${this.#length} bytes`);
    return false;
  }

  /** The header is whole: room for its frame, of which it is the beginning. */
  #begin(): void {
    this.#header = this.#checkHeader(this.#head);
    this.#frame = new Uint8Array(this.#header.size);
    this.#frame.set(this.#head);
  }

  #checkHeader(bytes: Uint8Array): FrameHeader {
    const header = decodeHeader(bytes, this.#offset);
    // The first frame is small, so that a stranger cannot make us keep anything.
    if (!this.#greeted && header.type !== "hello" && header.type !== "abort") {
      throw frameError(this.#offset, "the stream does not begin with a greeting", "hello", header.type);
    }
    if (this.#greeted && header.type === "hello") {
      throw frameError(this.#offset, "a second greeting", "any other frame", "hello");
    }
    return header;
  }

  #decode(frame: Uint8Array): Message {
    const message = decodeFrame(frame, this.#offset);
    this.#offset += frame.length;
    this.#greeted = true;
    return message;
  }
}
