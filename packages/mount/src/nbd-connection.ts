/**
 * One client of a network block device, from the greeting to its end. Whatever it sends, it gets an answer
 * of the protocol or loses its connection; it cannot make the server hold more than its requests under way.
 * @module
 */
import type { Socket } from "node:net";
import { errorMessage } from "@imgtool/core";
import { ByteQueue } from "./byte-queue.ts";
import type { ImageReader } from "./image-reader.ts";
import * as nbd from "./nbd-protocol.ts";

export interface NbdExport {
  /** What clients ask for; "" is the default export, and always this one. */
  readonly name: string;
  readonly image: ImageReader;
  /** Told of what a client was not given, for people. */
  readonly onError?: ((message: string) => void) | undefined;
}

/** Reads of a client under way at once. */
const requestsAtOnce = 16;

/** Serves a client until it goes; never throws. */
export async function serveConnection(socket: Socket, served: NbdExport): Promise<void> {
  // A connection that breaks ends the iteration below; there is nobody to tell.
  socket.on("error", () => {});
  const connection = new Connection(socket, served);
  try {
    if (await connection.negotiate()) await connection.transmit();
  } catch {
    // the client is gone
  } finally {
    socket.destroy();
  }
}

class Connection {
  readonly #socket: Socket;
  readonly #served: NbdExport;
  readonly #input: ByteQueue;
  #isStructured = false;
  #tellsStatus = false;

  constructor(socket: Socket, served: NbdExport) {
    this.#socket = socket;
    this.#served = served;
    this.#input = new ByteQueue(socket);
  }

  /** The handshake; whether the client goes on to read. */
  async negotiate(): Promise<boolean> {
    await this.#send(nbd.greeting());
    const flags = await this.#input.take(4);
    const client = flags === undefined ? undefined : nbd.parseClientFlags(flags);
    if (client === undefined) return false;
    for (;;) {
      const head = await this.#input.take(nbd.optionHeaderSize);
      const option = head === undefined ? undefined : nbd.parseOptionHeader(head);
      if (option === undefined) return false;
      if (option.length > nbd.largestOption) {
        if (!(await this.#input.skip(option.length))) return false;
        await this.#send(nbd.encodeAnswer(option.number, nbd.answer.tooBig));
        continue;
      }
      const data = await this.#input.take(option.length);
      if (data === undefined) return false;
      const end = await this.#answer(option.number, data, client.noZeroes);
      if (end !== undefined) return end === "transmit";
    }
  }

  /** Answers an option; what it ends the negotiation with, if it does. */
  async #answer(number: number, data: Buffer, noZeroes: boolean): Promise<"transmit" | "leave" | undefined> {
    const answer = (type: number, body?: Uint8Array): Promise<void> => this.#send(nbd.encodeAnswer(number, type, body));
    const { size } = this.#served.image;
    switch (number) {
      case nbd.option.exportName:
        if (!this.#isOurs(data.toString("utf8"))) return "leave";
        await this.#send(nbd.encodeExport(size, noZeroes));
        return "transmit";
      case nbd.option.abort:
        await answer(nbd.answer.acknowledge);
        return "leave";
      case nbd.option.list:
        if (data.length > 0) await answer(nbd.answer.invalid);
        else {
          await answer(nbd.answer.server, nbd.encodeName(this.#served.name));
          await answer(nbd.answer.acknowledge);
        }
        return undefined;
      case nbd.option.info:
      case nbd.option.go: {
        const name = nbd.parseInfoRequest(data);
        if (name === undefined) await answer(nbd.answer.invalid);
        else if (!this.#isOurs(name)) await answer(nbd.answer.unknown);
        else {
          for (const info of nbd.encodeInfos(size)) await answer(nbd.answer.info, info);
          await answer(nbd.answer.acknowledge);
          if (number === nbd.option.go) return "transmit";
        }
        return undefined;
      }
      case nbd.option.structuredReply:
        this.#isStructured ||= data.length === 0;
        await answer(data.length === 0 ? nbd.answer.acknowledge : nbd.answer.invalid);
        return undefined;
      case nbd.option.listMetaContext:
      case nbd.option.setMetaContext:
        await this.#answerMetaContexts(number, data, answer);
        return undefined;
      default:
        await answer(nbd.answer.unsupported);
        return undefined;
    }
  }

  async #answerMetaContexts(
    number: number,
    data: Buffer,
    answer: (type: number, body?: Uint8Array) => Promise<void>,
  ): Promise<void> {
    const asked = nbd.parseMetaContexts(data);
    const sets = number === nbd.option.setMetaContext;
    if (sets) this.#tellsStatus = false;
    if (asked === undefined || !this.#isStructured) return answer(nbd.answer.invalid);
    if (!this.#isOurs(asked.name)) return answer(nbd.answer.unknown);
    const { name } = nbd.allocation;
    // A list without queries asks for all; one with a name space alone for what is in it.
    const isWanted =
      asked.queries.includes(name) || (!sets && (asked.queries.length === 0 || asked.queries.includes("base:")));
    if (isWanted) await answer(nbd.answer.metaContext, nbd.encodeMetaContext(sets ? nbd.allocation.id : 0));
    if (sets) this.#tellsStatus = isWanted;
    return answer(nbd.answer.acknowledge);
  }

  #isOurs(name: string): boolean {
    return name === "" || name === this.#served.name;
  }

  /** Answers requests until the client goes. */
  async transmit(): Promise<void> {
    const underWay = new Set<Promise<void>>();
    for (;;) {
      const bytes = await this.#input.take(nbd.requestSize);
      const request = bytes === undefined ? undefined : nbd.parseRequest(bytes);
      if (request === undefined || request.type === nbd.command.disconnect) break;
      // What a write carries comes behind it, and has to be passed over.
      if (request.type === nbd.command.write && !(await this.#input.skip(request.length))) break;
      const answering = this.#reply(request).catch(() => void this.#socket.destroy());
      underWay.add(answering);
      void answering.finally(() => underWay.delete(answering));
      if (underWay.size >= requestsAtOnce) await Promise.race(underWay);
    }
    await Promise.allSettled(underWay);
  }

  async #reply(request: nbd.Request): Promise<void> {
    const { type, cookie, length } = request;
    const writes: readonly number[] = [nbd.command.write, nbd.command.trim, nbd.command.writeZeroes];
    if (writes.includes(type)) return this.#refuse(cookie, nbd.failure.notPermitted, "the image is read-only");
    if (type === nbd.command.flush) return this.#done(cookie);
    const known: readonly number[] = [nbd.command.read, nbd.command.cache, nbd.command.blockStatus];
    if (!known.includes(type)) return this.#refuse(cookie, nbd.failure.invalid, `unknown request ${type}`);
    const { image } = this.#served;
    const offset = Number(request.offset);
    if (length === 0 || request.offset + BigInt(length) > BigInt(image.size))
      return this.#refuse(cookie, nbd.failure.invalid, `${length} bytes at ${request.offset} are not in the image`);
    if (type === nbd.command.blockStatus) return this.#status(request, offset);
    if (length > nbd.largestRead)
      return this.#refuse(cookie, nbd.failure.invalid, `expected reads of at most ${nbd.largestRead} bytes`);
    try {
      if (type === nbd.command.cache) {
        await image.read(offset, length);
        return await this.#done(cookie);
      }
      return await this.#send(...(await this.#read(request, offset)));
    } catch (error) {
      this.#served.onError?.(errorMessage(error));
      return this.#refuse(cookie, nbd.failure.io, errorMessage(error));
    }
  }

  async #read({ cookie, flags, length }: nbd.Request, offset: number): Promise<readonly Uint8Array[]> {
    const { image } = this.#served;
    if (!this.#isStructured) return [nbd.simpleReply(cookie, 0), await image.read(offset, length)];
    if ((flags & nbd.flagWhole) !== 0) return [nbd.dataReply(cookie, offset, await image.read(offset, length), true)];
    const replies: Uint8Array[] = [];
    for (const extent of image.extents(offset, length)) {
      const isLast = extent.offset + extent.length === offset + length;
      replies.push(
        extent.isZero
          ? nbd.holeReply(cookie, extent.offset, extent.length, isLast)
          : nbd.dataReply(cookie, extent.offset, await image.read(extent.offset, extent.length), isLast),
      );
    }
    return replies;
  }

  async #status({ cookie, flags, length }: nbd.Request, offset: number): Promise<void> {
    if (!this.#tellsStatus) return this.#refuse(cookie, nbd.failure.invalid, "block status was not negotiated");
    const extents = [];
    for (const extent of this.#served.image.extents(offset, length)) {
      extents.push(extent);
      if ((flags & nbd.flagOneExtent) !== 0) break;
    }
    return this.#send(nbd.statusReply(cookie, extents));
  }

  #done(cookie: Buffer): Promise<void> {
    return this.#send(this.#isStructured ? nbd.doneReply(cookie) : nbd.simpleReply(cookie, 0));
  }

  #refuse(cookie: Buffer, error: number, message: string): Promise<void> {
    return this.#send(this.#isStructured ? nbd.errorReply(cookie, error, message) : nbd.simpleReply(cookie, error));
  }

  /** Sends pieces one behind the other, with nothing of another answer between them. */
  async #send(...pieces: readonly Uint8Array[]): Promise<void> {
    this.#socket.cork();
    let isTaken = true;
    for (const piece of pieces) isTaken = this.#socket.write(piece);
    this.#socket.uncork();
    if (isTaken || this.#socket.destroyed) return;
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        this.#socket.off("drain", settle).off("close", settle);
        resolve();
      };
      this.#socket.on("drain", settle).on("close", settle);
    });
  }
}
