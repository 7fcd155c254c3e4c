/**
 * Answers the kernel's requests about an archive. Nodes go by the offsets of their ENTRY records, and places
 * in a directory by numbers, so that nothing is opened and little is remembered.
 * @module
 */
import { close, read, writevSync } from "node:fs";
import { promisify } from "node:util";
import { concatBytes, errorMessage, systemErrorCode } from "@imgtool/core";
import type { ArchiveBrowser, BrowsedNode } from "@imgtool/sync";
import { FuseNodes, nodeNumber } from "./fuse-nodes.ts";
import * as fuse from "./fuse-protocol.ts";

const readAsync = promisify(read);
const closeAsync = promisify(close);

/**
 * Requests that are waited for at once: while one is answered, the next one comes in. Each takes one of
 * the four threads that Node.js has for such waits.
 */
const loops = 2;
/** Pieces that one call writes; the kernel takes an answer whole or not at all. */
const mostPieces = 512;

export interface FuseServerOptions {
  readonly archive: ArchiveBrowser;
  /** Length of the archive in bytes. */
  readonly size: number;
  /**
   * Whether the kernel checks permissions and access control lists. Not for whoever is the only one that
   * sees the mount: he can read the archive. Default true.
   */
  readonly checksPermissions?: boolean;
  /** Told what could not be read, for people. */
  readonly onError?: ((message: string) => void) | undefined;
}

type Answer = { readonly error: number } | { readonly pieces: readonly Uint8Array[] } | "none";

/** SELinux's label, which ls(1) asks of every file, twice. */
const labelName = "security.selinux";

export class FuseServer {
  readonly #descriptor: number;
  readonly #options: FuseServerOptions;
  readonly #root: BrowsedNode;
  readonly #nodes: FuseNodes;
  /** What the kernel and this server have agreed on. */
  #flags = 0;
  #isOver = false;

  /** @param descriptor of /dev/fuse; run() closes it */
  constructor(descriptor: number, root: BrowsedNode, options: FuseServerOptions) {
    this.#descriptor = descriptor;
    this.#options = options;
    this.#root = root;
    this.#nodes = new FuseNodes(options.archive, root);
  }

  /** Serves until the file system is unmounted. @throws SystemCallError when the kernel does not go on */
  async run(): Promise<void> {
    try {
      await Promise.all(Array.from({ length: loops }, () => this.#loop()));
    } finally {
      this.#isOver = true;
      await closeAsync(this.#descriptor);
    }
  }

  async #loop(): Promise<void> {
    const buffer = Buffer.allocUnsafeSlow(fuse.requestSize);
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
  }

  /** Answers a request, whatever happens: one without an answer hangs whoever waits for it. */
  async #serve(request: fuse.FuseRequest): Promise<void> {
    let answer: Answer;
    try {
      answer = await this.#answer(request);
    } catch (error) {
      this.#options.onError?.(errorMessage(error));
      answer = failed(fuse.errno.io);
    }
    if (answer === "none") return;
    // The descriptor's number may be another file's by now.
    if (this.#isOver) return;
    const { error, pieces } = "error" in answer ? { ...answer, pieces: [] } : { error: 0, pieces: answer.pieces };
    const parts = pieces.length > mostPieces ? [concatBytes(pieces)] : pieces;
    const length = parts.reduce((sum, piece) => sum + piece.length, 0);
    try {
      writevSync(this.#descriptor, [fuse.encodeReplyHead(request.unique, error, length), ...parts]);
    } catch {
      // the request was taken back, or the file system is unmounted
    }
  }

  #answer(request: fuse.FuseRequest): Answer | Promise<Answer> {
    const { opcode } = fuse;
    const { body } = request;
    switch (request.opcode) {
      case opcode.init:
        this.#flags = fuse.chosenFlags(body, this.#options.checksPermissions !== false);
        return bytes(fuse.encodeInit(body, this.#flags));
      case opcode.destroy:
      case opcode.interrupt:
        return "none";
      case opcode.forget:
        this.#nodes.forget(request.node, Number(body.readBigUInt64LE(0)));
        return "none";
      case opcode.batchForget:
        for (let i = 0, count = body.readUInt32LE(0); i < count; i++)
          this.#nodes.forget(fuse.parseNode(body, 8 + i * 16), Number(body.readBigUInt64LE(16 + i * 16)));
        return "none";
      case opcode.statfs:
        return bytes(fuse.encodeStatistics(this.#options.size));
      case opcode.open:
        return (this.#flags & fuse.noOpen) === 0 ? bytes(fuse.encodeOpen()) : failed(fuse.errno.noSystemCall);
      case opcode.opendir:
        return (this.#flags & fuse.noOpenDirectory) === 0 ? bytes(fuse.encodeOpen()) : failed(fuse.errno.noSystemCall);
      case opcode.release:
      case opcode.releasedir:
        return { pieces: [] };
      default: {
        const node = this.#nodes.get(request.node);
        if (node === undefined) return failed(fuse.errno.notThere);
        if (node instanceof Promise) return node.then((found) => this.#answerAbout(found, request));
        return this.#answerAbout(node, request);
      }
    }
  }

  #answerAbout(node: BrowsedNode, { opcode, body }: fuse.FuseRequest): Answer | Promise<Answer> {
    switch (opcode) {
      case fuse.opcode.lookup:
        return this.#lookUp(node, fuse.parseName(body));
      case fuse.opcode.getattr:
        return bytes(fuse.encodeAttributes(attributesOf(node)));
      case fuse.opcode.readlink:
        return bytes(node.node.content.kind === "symlink" ? node.node.content.target : new Uint8Array(0));
      case fuse.opcode.read:
        return this.#read(node, body);
      case fuse.opcode.readdir:
      case fuse.opcode.readdirplus:
        return this.#readDirectory(node, body, opcode === fuse.opcode.readdirplus);
      case fuse.opcode.getxattr: {
        const name = fuse.parseName(body, 8).toString("latin1");
        const value = node.xattrs.get(name);
        if (value !== undefined) return fuse.answerXattr(body, value);
        // Without a label on the root there are none: said this way, ls does not go on asking.
        const hasNone = name === labelName && !this.#root.xattrs.has(name);
        return failed(hasNone ? fuse.errno.notSupported : fuse.errno.noData);
      }
      case fuse.opcode.listxattr: {
        const names = [...node.xattrs.keys()].map((name) => `${name}\0`).join("");
        return fuse.answerXattr(body, Buffer.from(names, "latin1"));
      }
      default:
        return failed(fuse.errno.noSystemCall);
    }
  }

  async #lookUp(directory: BrowsedNode, name: Buffer): Promise<Answer> {
    const found = directory.kind === "directory" ? await this.#options.archive.find(directory, name) : undefined;
    if (found === undefined) return failed(fuse.errno.notThere);
    this.#nodes.remember(found);
    return bytes(fuse.encodeEntry(attributesOf(found)));
  }

  async #read(node: BrowsedNode, body: Buffer): Promise<Answer> {
    const { offset, length } = fuse.parseRead(body);
    return { pieces: await this.#options.archive.read(node, offset, length) };
  }

  /** Position 0 is the directory itself, 1 the one above, and from 2 on come the names in it. */
  async #readDirectory(directory: BrowsedNode, body: Buffer, isPlus: boolean): Promise<Answer> {
    const { archive } = this.#options;
    const { offset, length } = fuse.parseRead(body);
    const reply = new fuse.DirectoryReply(length, isPlus);
    const own = { node: nodeNumber(directory), type: types.directory };
    const end = 2 + (await archive.count(directory));
    for (let at = offset; at < end; at++) {
      if (at < 2) {
        if (!reply.add({ name: Buffer.from(at === 0 ? "." : ".."), ...own }, at + 1)) break;
        continue;
      }
      const { name, node } = await archive.child(directory, at - 2);
      const entry = { name, node: nodeNumber(node), type: types[node.kind] };
      if (!reply.add(isPlus ? { ...entry, attributes: attributesOf(node) } : entry, at + 1)) break;
      if (isPlus) this.#nodes.remember(node);
    }
    return bytes(reply.bytes());
  }
}

function bytes(piece: Uint8Array): Answer {
  return { pieces: [piece] };
}

function failed(error: number): Answer {
  return { error };
}

/** Types as getdents(2) tells them. */
const types = { fifo: 1, character: 2, directory: 4, block: 6, file: 8, symlink: 10, socket: 12 } as const;

function attributesOf(browsed: BrowsedNode): fuse.FuseAttributes {
  const { metadata, content } = browsed.node;
  const isDevice = content.kind === "block" || content.kind === "character";
  return {
    node: nodeNumber(browsed),
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
