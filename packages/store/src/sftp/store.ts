/**
 * Chunk stores and files over sftp: nothing has to be installed on the far side but ssh's own server.
 *
 * A chunk is written under a temporary name, flushed where the server can (OpenSSH can), and renamed
 * without replacing, as OpenSSH's server renames.
 * @module
 */
import {
  abortedError,
  EnvironmentError,
  errorMessage,
  FormatError,
  ImgtoolError,
  NetworkError,
  throwIfAborted,
} from "@imgtool/core";
import { temporaryNames } from "../local-errors.ts";
import {
  type ChunkKinds,
  type ObjectFacts,
  type ObjectManager,
  ObjectPruneStore,
  type ObjectRange,
  type RangeReader,
} from "../object-store.ts";
import { sshSubsystem, type SshOptions } from "../remote/ssh-channel.ts";
import type { SshLocation } from "../remote/ssh-location.ts";
import type { PruneStore } from "../store.ts";
import { parseSftpLocation } from "./location.ts";
import { type FileAttributes, modeAttributes, openMode, packetType, statusCode, timesAttributes } from "./packets.ts";
import { SftpSession, SftpStatusError } from "./session.ts";

export interface SftpStoreOptions extends SshOptions {
  /** The files that the store has. Default "either". */
  readonly chunks?: ChunkKinds;
  /** Whether what is written is flushed to the far side's disk. Default true. */
  readonly durable?: boolean;
}

/** Opens a store by its sftp URL; it is connected to when it is used first. @throws ConfigError `ssh-location-invalid` */
export function openSftpStore(location: string, options: SftpStoreOptions = {}): PruneStore {
  return new ObjectPruneStore(openSftpFiles(location, options), options.chunks);
}

/** The files at a location, one by one. @throws as openSftpStore() */
export function openSftpFiles(location: string, options: SftpStoreOptions = {}): ObjectManager & RangeReader {
  return new SftpFiles(location, options);
}

/** How often requests are sent when connections end under them. */
const maxTries = 3;
/** Bytes of a READ or WRITE: what every server takes. */
const pieceSize = 32 * 1024;
const typeMask = 0o170_000;
const [typeFile, typeDirectory] = [0o100_000, 0o040_000];
const fsync = "fsync@openssh.com";
const replacingRename = "posix-rename@openssh.com";

class SftpFiles implements ObjectManager, RangeReader {
  readonly location: string;
  readonly #place: SshLocation;
  readonly #options: SftpStoreOptions;
  readonly #nextTemporary = temporaryNames();
  readonly #folders = new Set<string>();
  #session: Promise<SftpSession> | undefined;
  #isClosed = false;

  constructor(location: string, options: SftpStoreOptions) {
    this.location = location;
    this.#place = parseSftpLocation(location);
    this.#options = options;
  }

  async stat(path: string, signal?: AbortSignal): Promise<ObjectFacts | undefined> {
    const attributes = await this.#attributes(path, signal);
    return attributes === undefined || !isKind(attributes, typeFile) ? undefined : factsOf(attributes);
  }

  async read(path: string, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    // A link could lead out of the store, and a FIFO never ends.
    const attributes = await this.#attributes(path, signal);
    if (attributes === undefined || !isKind(attributes, typeFile)) return undefined;
    return this.#run("read", path, signal, async (session) => {
      const handle = await this.#open(session, this.#path(path), openMode.read);
      if (handle === undefined) return undefined;
      try {
        const { size = 0 } = (await session.request(packetType.fstat, handle)).attributes();
        if (size > maxBytes) throw this.#tooLarge(path, size, maxBytes);
        const bytes = Buffer.alloc(size);
        const pieces = Array.from({ length: Math.ceil(size / pieceSize) }, (_, i) => i * pieceSize);
        await Promise.all(pieces.map((at) => this.#readPiece(session, handle, bytes.subarray(at, at + pieceSize), at)));
        return bytes;
      } finally {
        await session.request(packetType.close, handle).catch(() => {});
      }
    });
  }

  /** What is in the open file, if size and time of change are as they were. */
  async readRange(
    path: string,
    { offset, length, version }: ObjectRange,
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const attributes = await this.#attributes(path, signal);
    if (attributes === undefined || !isKind(attributes, typeFile)) return undefined;
    return this.#run("read", path, signal, async (session) => {
      const handle = await this.#open(session, this.#path(path), openMode.read);
      if (handle === undefined) return undefined;
      const isSame = async (): Promise<boolean> =>
        factsOf((await session.request(packetType.fstat, handle)).attributes()).version === version;
      try {
        if (!(await isSame())) return undefined;
        const bytes = Buffer.alloc(length);
        const pieces = Array.from({ length: Math.ceil(length / pieceSize) }, (_, i) => i * pieceSize);
        await Promise.all(
          pieces.map((at) => this.#readPiece(session, handle, bytes.subarray(at, at + pieceSize), offset + at)),
        );
        // Within the file, others may write.
        return (await isSame()) ? bytes : undefined;
      } finally {
        await session.request(packetType.close, handle).catch(() => {});
      }
    });
  }

  async create(path: string, bytes: Uint8Array, replace: boolean, signal?: AbortSignal): Promise<boolean> {
    const full = this.#path(path);
    const left: string[] = [];
    return this.#run("write", path, signal, async (session) => {
      // Another name for each attempt: the far side may still have requests of the connection that has ended.
      const temporary = `${full.slice(0, full.lastIndexOf("/") + 1)}${this.#nextTemporary()}`;
      for (const former of left) await session.request(packetType.remove, former).catch(() => {});
      left.push(temporary);
      // of a location that is one file, the folder is there
      if (path !== "") await this.#makeFolder(session, path.slice(0, path.lastIndexOf("/")));
      const mode = openMode.write | openMode.create | openMode.exclusive;
      const create = (): Promise<Buffer | undefined> => this.#open(session, temporary, mode, modeAttributes(0o444));
      let handle = await create();
      if (handle === undefined && path !== "") {
        await makeFolders(session, temporary.slice(0, temporary.lastIndexOf("/")));
        handle = await create();
      }
      if (handle === undefined) throw new SftpStatusError(statusCode.noSuchFile, "there is no folder for it");
      try {
        const pieces = Array.from({ length: Math.ceil(bytes.length / pieceSize) }, (_, i) => i * pieceSize);
        await Promise.all(
          pieces.map((at) => session.request(packetType.write, handle, BigInt(at), bytes.subarray(at, at + pieceSize))),
        );
        if (this.#options.durable !== false && session.knows(fsync))
          await session.request(packetType.extended, fsync, handle);
        await session.request(packetType.close, handle);
        return await this.#rename(session, temporary, path, replace);
      } catch (error) {
        await session.request(packetType.remove, temporary).catch(() => {});
        throw error;
      }
    });
  }

  async renew(path: string, signal?: AbortSignal): Promise<boolean> {
    return this.#run("write", path, signal, async (session) => {
      const times = timesAttributes(Math.floor(Date.now() / 1000));
      return isThere(session.request(packetType.setstat, this.#path(path), ...times));
    });
  }

  async *list(signal?: AbortSignal): AsyncGenerator<ObjectFacts & { readonly path: string }, void> {
    for (const entry of await this.#names("", signal)) {
      if (!isKind(entry, typeDirectory)) {
        yield { path: entry.name, ...factsOf(entry) };
        continue;
      }
      throwIfAborted(signal);
      for (const inner of await this.#names(entry.name, signal))
        yield { path: `${entry.name}/${inner.name}`, ...factsOf(inner) };
    }
  }

  async delete(path: string): Promise<boolean> {
    return this.#run("write", path, undefined, (session) =>
      isThere(session.request(packetType.remove, this.#path(path))),
    );
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const session = this.#session;
    this.#session = undefined;
    (await session?.catch(() => undefined))?.close();
  }

  #path(path: string): string {
    return path === "" ? this.#place.path : `${this.#place.path.replace(/\/+$/, "")}/${path}`;
  }

  /** Connects anew where the last connection has ended. */
  async #connected(): Promise<SftpSession> {
    const current = this.#session;
    const known = current === undefined ? undefined : await current.catch(() => undefined);
    if (known !== undefined && !known.isGone) return known;
    // Of many that find the connection ended, the first makes the next one.
    if (this.#session === current) {
      this.#session = SftpSession.open(sshSubsystem(this.#place, "sftp", this.#options));
      this.#session.catch(() => {});
    }
    return this.#session ?? this.#connected();
  }

  /**
   * Runs requests, on another connection where the one that they were sent on has ended: all of them may be
   * repeated. What the server refuses becomes an error that names the place.
   */
  async #run<T>(
    action: "read" | "write",
    path: string,
    signal: AbortSignal | undefined,
    work: (session: SftpSession) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      throwIfAborted(signal);
      const session = await this.#connected();
      try {
        const working = work(session);
        if (signal === undefined) return await working;
        return await orAborted(working, signal);
      } catch (error) {
        if (error instanceof NetworkError && session.isGone && !this.#isClosed && attempt < maxTries) continue;
        if (error instanceof ImgtoolError) throw error;
        throw this.#refused(action, path, error);
      }
    }
  }

  #refused(action: "read" | "write", path: string, error: unknown): ImgtoolError {
    const message = `cannot ${action} ${this.location}${path === "" ? "" : `/${path}`}: ${errorMessage(error)}`;
    const options = { data: { store: this.location, path }, cause: error };
    if (error instanceof SftpStatusError && error.status === statusCode.permissionDenied)
      return new EnvironmentError(message, {
        ...options,
        code: action === "write" ? "store-not-writable" : "store-not-readable",
        hint: "check owner and mode of the directory on that machine",
      });
    return new NetworkError(message, { ...options, code: "remote-failed" });
  }

  #attributes(path: string, signal: AbortSignal | undefined): Promise<FileAttributes | undefined> {
    return this.#run("read", path, signal, async (session) => {
      try {
        return (await session.request(packetType.lstat, this.#path(path))).attributes();
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    });
  }

  async #open(
    session: SftpSession,
    path: string,
    mode: number,
    attributes: readonly number[] = [0],
  ): Promise<Buffer | undefined> {
    try {
      return (await session.request(packetType.open, path, mode, ...attributes)).bytes();
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Fills a view from a place in a file: servers may answer with less than they were asked for. */
  async #readPiece(session: SftpSession, handle: Buffer, view: Buffer, at: number): Promise<void> {
    for (let done = 0; done < view.length;) {
      const data = (await session.request(packetType.read, handle, BigInt(at + done), view.length - done)).bytes();
      if (data.length === 0 || data.length > view.length - done)
        throw new SftpStatusError(
          statusCode.endOfFile,
          `${data.length} bytes where ${view.length - done} were asked for`,
        );
      data.copy(view, done);
      done += data.length;
    }
  }

  async #makeFolder(session: SftpSession, folder: string): Promise<void> {
    if (this.#folders.has(folder)) return;
    for (const path of ["", folder]) {
      try {
        await session.request(packetType.mkdir, this.#path(path), ...modeAttributes(0o755));
      } catch (error) {
        // It is there, or it cannot be made: the file in it will tell.
        if (!(error instanceof SftpStatusError)) throw error;
      }
    }
    this.#folders.add(folder);
  }

  /** Gives a file its name; false, and the file removed, when another has it. */
  async #rename(session: SftpSession, temporary: string, path: string, replace: boolean): Promise<boolean> {
    const [from, to] = [temporary, this.#path(path)];
    if (replace) {
      if (session.knows(replacingRename)) await session.request(packetType.extended, replacingRename, from, to);
      else {
        await session.request(packetType.remove, to).catch(() => {});
        await session.request(packetType.rename, from, to);
      }
      return true;
    }
    try {
      await session.request(packetType.rename, from, to);
      return true;
    } catch (error) {
      if (!(error instanceof SftpStatusError) || (await this.#attributes(path, undefined)) === undefined) throw error;
      await session.request(packetType.remove, from);
      return false;
    }
  }

  async #names(path: string, signal: AbortSignal | undefined): Promise<(FileAttributes & { readonly name: string })[]> {
    return this.#run("read", path, signal, async (session) => {
      const names: (FileAttributes & { readonly name: string })[] = [];
      let handle: Buffer;
      try {
        handle = (await session.request(packetType.opendir, this.#path(path))).bytes();
      } catch (error) {
        if (isMissing(error)) return names;
        throw error;
      }
      try {
        for (;;) {
          const packet = await session.request(packetType.readdir, handle);
          for (let count = packet.number(); count > 0; count--) {
            const name = packet.text();
            packet.bytes();
            const attributes = packet.attributes();
            if (name !== "." && name !== ".." && !name.includes("/")) names.push({ name, ...attributes });
          }
        }
      } catch (error) {
        if (error instanceof SftpStatusError && error.status === statusCode.endOfFile) return names;
        throw error;
      } finally {
        await session.request(packetType.close, handle).catch(() => {});
      }
    });
  }

  #tooLarge(path: string, found: number, expected: number): FormatError {
    return new FormatError(
      `${this.location}/${path} is too large: expected at most ${expected} bytes, found ${found}`,
      {
        code: "remote-too-large",
        data: { store: this.location, path, expected, found },
      },
    );
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof SftpStatusError && error.status === statusCode.noSuchFile;
}

async function isThere(answer: Promise<unknown>): Promise<boolean> {
  try {
    await answer;
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

function isKind({ permissions = typeFile }: FileAttributes, type: number): boolean {
  return (permissions & typeMask) === type;
}

function factsOf({ size, mtime }: FileAttributes): ObjectFacts {
  // Whole seconds: what was used within one was used at its end, so that no prune is too early.
  return {
    bytes: size,
    lastUsed: mtime === undefined ? undefined : mtime * 1000 + 999,
    version: size === undefined || mtime === undefined ? undefined : `${size} bytes of ${mtime}`,
  };
}

/** Waits for work or the signal. What is under way goes on at the far side; nobody waits for it then. */
async function orAborted<T>(working: Promise<T>, signal: AbortSignal): Promise<T> {
  working.catch(() => {});
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(abortedError(signal));
  signal.addEventListener("abort", stop, { once: true });
  try {
    throwIfAborted(signal);
    return await Promise.race([working, promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Makes a folder and those above it that are missing. */
async function makeFolders(session: SftpSession, folder: string): Promise<void> {
  for (let end = folder.indexOf("/", 1); ; end = folder.indexOf("/", end + 1)) {
    try {
      await session.request(packetType.mkdir, end < 0 ? folder : folder.slice(0, end), ...modeAttributes(0o755));
    } catch (error) {
      // It is there, or it cannot be made: the file in it will tell.
      if (!(error instanceof SftpStatusError)) throw error;
    }
    if (end < 0) return;
  }
}
