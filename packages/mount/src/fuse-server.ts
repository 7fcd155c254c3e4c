/**
 * Answers the kernel's requests about an archive. Nodes go by the offsets of their ENTRY records, so that
 * nothing has to be remembered but where the nodes are that the kernel knows.
 * @module
 */
import { close, read, writeSync } from "node:fs";
import { promisify } from "node:util";
import { errorMessage, systemErrorCode } from "@imgtool/core";
import type { ArchiveBrowser, BrowsedNode } from "@imgtool/sync";
import * as fuse from "./fuse-protocol.ts";

const readAsync = promisify(read);
const closeAsync = promisify(close);

export interface FuseServerOptions {
  readonly archive: ArchiveBrowser;
  /** Length of the archive in bytes. */
  readonly size: number;
  /** Told what could not be read, for people. */
  readonly onError?: ((message: string) => void) | undefined;
}

/** A node that the kernel knows, and how many of its lookups it has not taken back. */
interface KnownNode {
  readonly node: BrowsedNode;
  lookups: bigint;
}

interface OpenDirectory {
  readonly entries: readonly { readonly name: Buffer; readonly node: bigint; readonly type: number }[];
}

type Answer = { readonly error: number; readonly bytes?: Uint8Array } | "none";

export class FuseServer {
  readonly #descriptor: number;
  readonly #options: FuseServerOptions;
  readonly #nodes = new Map<bigint, KnownNode>();
  readonly #directories = new Map<bigint, OpenDirectory>();
  #handles = 1n;

  /** @param descriptor of /dev/fuse; run() closes it */
  constructor(descriptor: number, options: FuseServerOptions) {
    this.#descriptor = descriptor;
    this.#options = options;
  }

  /** Serves until the file system is unmounted. @throws SystemCallError when the kernel does not go on */
  async run(): Promise<void> {
    const root = await this.#options.archive.root();
    this.#nodes.set(fuse.rootNode, { node: root, lookups: 1n });
    const buffer = Buffer.allocUnsafeSlow(fuse.requestSize);
    try {
      for (;;) {
        let count = 0;
        try {
          count = (await readAsync(this.#descriptor, buffer, 0, buffer.length, null)).bytesRead;
        } catch (error) {
          const code = systemErrorCode(error);
          // unmounted; or a request that was taken back, or a signal
          if (code === "ENODEV") return;
          if (code === "ENOENT" || code === "EINTR" || code === "EAGAIN") continue;
          throw error;
        }
        if (count === 0) return;
        void this.#serve(fuse.parseRequest(buffer.subarray(0, count)));
      }
    } finally {
      await closeAsync(this.#descriptor);
    }
  }

  /** Answers a request, whatever happens: one without an answer hangs whoever waits for it. */
  async #serve(request: fuse.FuseRequest): Promise<void> {
    let answer: Answer;
    try {
      answer = await this.#answer(request);
    } catch (error) {
      this.#options.onError?.(errorMessage(error));
      answer = { error: fuse.errno.io };
    }
    if (answer === "none") return;
    try {
      writeSync(this.#descriptor, fuse.encodeReply(request.unique, answer.error, answer.bytes));
    } catch {
      // the request was taken back, or the file system is unmounted
    }
  }

  async #answer(request: fuse.FuseRequest): Promise<Answer> {
    const { opcode } = fuse;
    switch (request.opcode) {
      case opcode.init:
        return { error: 0, bytes: fuse.encodeInit(request.body) };
      case opcode.destroy:
      case opcode.interrupt:
        return "none";
      case opcode.forget:
        this.#forget(request.node, request.body.readBigUInt64LE(0));
        return "none";
      case opcode.batchForget:
        for (let i = 0, count = request.body.readUInt32LE(0); i < count; i++)
          this.#forget(request.body.readBigUInt64LE(8 + i * 16), request.body.readBigUInt64LE(16 + i * 16));
        return "none";
      case opcode.statfs:
        return { error: 0, bytes: fuse.encodeStatistics(this.#options.size) };
      case opcode.release:
        return { error: 0 };
      case opcode.releasedir:
        this.#directories.delete(fuse.parseRead(request.body).handle);
        return { error: 0 };
      default: {
        const known = this.#nodes.get(request.node);
        if (known === undefined) return { error: fuse.errno.notThere };
        return this.#answerAbout(known.node, request);
      }
    }
  }

  async #answerAbout(node: BrowsedNode, { opcode, node: number, body }: fuse.FuseRequest): Promise<Answer> {
    const { archive } = this.#options;
    switch (opcode) {
      case fuse.opcode.lookup: {
        const found = node.kind === "directory" ? await archive.find(node, fuse.parseName(body)) : undefined;
        return found === undefined ? { error: fuse.errno.notThere } : { error: 0, bytes: this.#remember(found) };
      }
      case fuse.opcode.getattr:
        return { error: 0, bytes: fuse.encodeAttributes(attributesOf(node, number)) };
      case fuse.opcode.readlink:
        return { error: 0, bytes: node.node.content.kind === "symlink" ? node.node.content.target : new Uint8Array(0) };
      case fuse.opcode.open:
        return { error: 0, bytes: fuse.encodeOpen(0n) };
      case fuse.opcode.read: {
        const { offset, length } = fuse.parseRead(body);
        return { error: 0, bytes: await archive.read(node, offset, length) };
      }
      case fuse.opcode.opendir: {
        const handle = this.#handles++;
        this.#directories.set(handle, await this.#openDirectory(node, number));
        return { error: 0, bytes: fuse.encodeOpen(handle) };
      }
      case fuse.opcode.readdir: {
        const { handle, offset, length } = fuse.parseRead(body);
        const entries = this.#directories.get(handle)?.entries ?? [];
        return { error: 0, bytes: fuse.encodeDirectory(entries, offset, length) };
      }
      case fuse.opcode.getxattr: {
        const value = node.xattrs.get(fuse.parseName(body, 8).toString("latin1"));
        return value === undefined ? { error: fuse.errno.noData } : fuse.answerXattr(body, value);
      }
      case fuse.opcode.listxattr: {
        const names = [...node.xattrs.keys()].map((name) => `${name}\0`).join("");
        return fuse.answerXattr(body, Buffer.from(names, "latin1"));
      }
      default:
        return { error: fuse.errno.noSystemCall };
    }
  }

  async #openDirectory(directory: BrowsedNode, number: bigint): Promise<OpenDirectory> {
    const names = await this.#options.archive.list(directory);
    const own = [".", ".."].map((name) => ({ name: Buffer.from(name), node: number, type: 4 }));
    return {
      entries: [...own, ...names.map(({ name, id, kind }) => ({ name, node: nodeNumber(id), type: types[kind] }))],
    };
  }

  #remember(node: BrowsedNode): Buffer {
    const number = nodeNumber(node.id);
    const known = this.#nodes.get(number);
    if (known === undefined) this.#nodes.set(number, { node, lookups: 1n });
    else known.lookups++;
    return fuse.encodeEntry(attributesOf(node, number));
  }

  #forget(number: bigint, lookups: bigint): void {
    const known = this.#nodes.get(number);
    if (known === undefined || number === fuse.rootNode) return;
    known.lookups -= lookups;
    if (known.lookups <= 0n) this.#nodes.delete(number);
  }
}

/** Offsets of ENTRY records are at least 64, but for the root's. */
function nodeNumber(id: number): bigint {
  return id === 0 ? fuse.rootNode : BigInt(id);
}

/** Types as getdents(2) tells them. */
const types = { fifo: 1, character: 2, directory: 4, block: 6, file: 8, symlink: 10, socket: 12 } as const;

function attributesOf(browsed: BrowsedNode, number: bigint): fuse.FuseAttributes {
  const { metadata, content } = browsed.node;
  const isDevice = content.kind === "block" || content.kind === "character";
  return {
    node: number,
    mode: metadata.mode,
    size: content.kind === "file" ? content.size : content.kind === "symlink" ? content.target.length : 0,
    uid: browsed.uid,
    gid: browsed.gid,
    mtime: metadata.mtime,
    links: content.kind === "directory" ? 2 : 1,
    major: isDevice ? content.major : 0,
    minor: isDevice ? content.minor : 0,
  };
}
