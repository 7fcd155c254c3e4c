/**
 * Driver: a chunk store on an FTP server (RFC 959, 2228, 2428, 3659, 4217), over the library basic-ftp.
 *
 * A chunk is written under a temporary name and renamed, which replaces one of the same name: FTP has no
 * way not to. Nothing makes the server flush what it has written.
 * @module
 */
import { Readable, Writable } from "node:stream";
import { callbackify } from "node:util";
import { FormatError, throwIfAborted } from "@imgtool/core";
import type { Client } from "basic-ftp";
import { CopiedFile } from "../copied-file.ts";
import { temporaryNames } from "../local-errors.ts";
import {
  type ChunkKinds,
  type ObjectFacts,
  type ObjectCopier,
  type ObjectManager,
  ObjectPruneStore,
} from "../object-store.ts";
import { paced, type RateLimit } from "../rate-limit.ts";
import type { PruneStore } from "../store.ts";
import { FtpConnections, type FtpConnectionOptions, replyCode } from "./connections.ts";
import { type FtpCredentials, ftpCredentials } from "./credentials.ts";
import { ftpError, isMissing, isUnknownCommand } from "./errors.ts";
import { type FtpEntry, listNames, sizeOf, statOf } from "./listing.ts";
import { checkCommandText, type FtpPlace, parseFtpLocation } from "./location.ts";

export interface FtpStoreOptions extends FtpConnectionOptions {
  readonly chunks?: ChunkKinds;
  /** Default: see ftpCredentials(). */
  readonly ftpCredentials?: FtpCredentials | undefined;
  /** A limit of what is received and sent, which several clients may share. */
  readonly rateLimit?: RateLimit | undefined;
}

/**
 * Opens a store by its FTP URL; it is connected to when it is used first.
 * @throws ConfigError `url-invalid`; EnvironmentError `credentials-unreadable`
 */
export function openFtpStore(location: string, options: FtpStoreOptions = {}): PruneStore {
  return new ObjectPruneStore(openFtpFiles(location, options), options.chunks);
}

/** The files at a location, one by one. @throws as openFtpStore() */
export function openFtpFiles(location: string, options: FtpStoreOptions = {}): ObjectManager & ObjectCopier {
  return new FtpFiles(parseFtpLocation(location), options);
}

/** Folders that are listed at once: as many as keep every connection busy. */
const atOnce = 16;
const unknownFacts: ObjectFacts = { bytes: undefined, lastUsed: undefined };

/** What the server says no with; undefined when it says yes. */
async function refusalOf(command: Promise<unknown>): Promise<unknown> {
  try {
    await command;
    return undefined;
  } catch (error) {
    if (replyCode(error) === undefined) throw error;
    return error;
  }
}

/** @throws why the folder could not be made, when it is not there */
async function requireFolder(client: Client, folder: string, refusal?: unknown): Promise<void> {
  const former = await client.pwd();
  const missing = await refusalOf(client.send(`CWD ${folder}`));
  if (missing !== undefined) throw refusal ?? missing;
  await client.send(`CWD ${former}`);
}

class FtpFiles implements ObjectManager, ObjectCopier {
  readonly location: string;
  readonly #place: FtpPlace;
  readonly #connections: FtpConnections;
  readonly #rateLimit: RateLimit | undefined;
  readonly #nextTemporary = temporaryNames();
  readonly #folders = new Set<string>();
  /** Whether an upload broke off: servers that refuse one may reset its connection before they say why. */
  #isInDoubt = false;
  /** How a file's time is set: MFMT, or the MDTM with a time that older servers have. */
  #setTime: "MFMT" | "MDTM" | undefined = "MFMT";

  constructor(place: FtpPlace, options: FtpStoreOptions) {
    this.location = place.shown;
    this.#place = place;
    this.#rateLimit = options.rateLimit;
    this.#connections = new FtpConnections(place, options.ftpCredentials ?? ftpCredentials(place), options);
  }

  async stat(path: string, signal?: AbortSignal): Promise<ObjectFacts | undefined> {
    return this.#run("read", path, signal, (client) => statOf(client, this.#path(path)));
  }

  async read(path: string, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#run("read", path, signal, async (client) => {
      const full = this.#path(path);
      const size = await sizeOf(client, full);
      if (size === undefined) return undefined;
      if (size > maxBytes) throw this.#tooLarge(path, size, maxBytes);
      const pieces: Buffer[] = [];
      const isThere = await this.#download(client, path, size, async (piece, length) => {
        if (length > maxBytes) throw this.#tooLarge(path, length, maxBytes);
        pieces.push(piece);
      });
      return isThere ? Buffer.concat(pieces) : undefined;
    });
  }

  /** Copies a file of any size; false when there is none. */
  async copy(path: string, file: string, signal?: AbortSignal): Promise<boolean> {
    return this.#run("read", path, signal, async (client) => {
      const size = await sizeOf(client, this.#path(path));
      if (size === undefined) return false;
      await using output = await CopiedFile.create(file);
      return await this.#download(client, path, size, (piece) => output.write(piece));
    });
  }

  /** Takes a file piece by piece, told how long they are together; false when it is gone. */
  async #download(
    client: Client,
    path: string,
    size: number,
    take: (piece: Buffer, length: number) => Promise<void>,
  ): Promise<boolean> {
    let length = 0;
    const write = callbackify(async (piece: Buffer): Promise<void> => {
      length += piece.length;
      await take(piece, length);
      await paced(this.#rateLimit, piece.length);
    });
    const sink = new Writable({ write: (piece: Buffer, _encoding, done) => write(piece, done) });
    try {
      await client.downloadTo(sink, this.#path(path));
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
    // A server that dies may end the data connection as if it had sent everything.
    if (length !== size) throw new Error(`expected ${size} bytes, found ${length}`);
    return true;
  }

  async create(path: string, bytes: Uint8Array, replace: boolean, signal?: AbortSignal): Promise<boolean> {
    const full = this.#path(path);
    return this.#run("write", path, signal, async (client) => {
      if (!replace && (await sizeOf(client, full)) !== undefined) return false;
      const folder = full.slice(0, full.lastIndexOf("/") + 1);
      if (path !== "") await this.#makeFolders(client, folder);
      else if (this.#isInDoubt && folder !== "") await requireFolder(client, folder);
      const temporary = `${folder}${this.#nextTemporary()}`;
      try {
        await client.uploadFrom(Readable.from(this.#paced(bytes), { objectMode: false }), temporary);
        await client.send(`RNFR ${temporary}`);
        await client.send(`RNTO ${full}`).catch(async (error: unknown) => {
          // Not every server's rename replaces.
          if (client.closed || (await sizeOf(client, full)) === undefined) throw error;
          await client.send(`DELE ${full}`);
          await client.send(`RNFR ${temporary}`);
          await client.send(`RNTO ${full}`);
        });
        this.#isInDoubt = false;
        return true;
      } catch (error) {
        this.#isInDoubt ||= replyCode(error) === undefined;
        if (!client.closed) await client.sendIgnoringError(`DELE ${temporary}`).catch(() => {});
        this.#folders.clear();
        throw error;
      }
    });
  }

  /**
   * The bytes, no faster than the limit. In pieces of at most a second: what says nothing for longer is taken
   * for broken.
   */
  async *#paced(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
    const limit = this.#rateLimit;
    const size = limit === undefined ? bytes.length : Math.min(Math.ceil(limit.bytesPerSecond), 64 * 1024);
    for (let at = 0; at < bytes.length; at += size) {
      const piece = bytes.subarray(at, at + size);
      await paced(limit, piece.length);
      yield piece;
    }
  }

  /** Where the server sets no times, the file is written again. */
  async renew(path: string, signal?: AbortSignal): Promise<boolean> {
    const now = new Date().toISOString().replaceAll(/[-T:]|\.\d+Z/g, "");
    while (this.#setTime !== undefined) {
      const command = this.#setTime;
      const answer = await this.#run("write", path, signal, async (client) => {
        try {
          await client.send(`${command} ${now} ${this.#path(path)}`);
          return "set";
        } catch (error) {
          // To a server that reads times only, the time is a part of a name that it does not have.
          if (isUnknownCommand(error) || (command === "MDTM" && isMissing(error))) return "unknown";
          if (isMissing(error)) return "missing";
          throw error;
        }
      });
      if (answer === "set") return true;
      if (answer === "missing" || (await this.stat(path, signal)) === undefined) return false;
      this.#setTime = command === "MFMT" ? "MDTM" : undefined;
    }
    const facts = await this.stat(path, signal);
    const bytes = facts === undefined ? undefined : await this.read(path, facts.bytes ?? 0, signal);
    if (bytes === undefined) return false;
    await this.create(path, bytes, true, signal);
    return true;
  }

  async *list(signal?: AbortSignal): AsyncGenerator<ObjectFacts & { readonly path: string }, void> {
    const folders: string[] = [];
    for (const { name, isFolder, facts } of await this.#entries("", signal)) {
      if (isFolder && /^[0-9a-f]{4}$/.test(name)) folders.push(name);
      else yield { path: name, ...(facts ?? unknownFacts) };
    }
    for (let i = 0; i < folders.length; i += atOnce) {
      throwIfAborted(signal);
      const listed = await Promise.all(
        folders.slice(i, i + atOnce).map(async (folder) => ({ folder, entries: await this.#entries(folder, signal) })),
      );
      for (const { folder, entries } of listed)
        for (const { name, facts } of entries) yield { path: `${folder}/${name}`, ...(facts ?? unknownFacts) };
    }
  }

  async delete(path: string): Promise<boolean> {
    return this.#run("write", path, undefined, async (client) => {
      try {
        await client.send(`DELE ${this.#path(path)}`);
        return true;
      } catch (error) {
        if (isMissing(error) && (await sizeOf(client, this.#path(path))) === undefined) return false;
        throw error;
      }
    });
  }

  close(): Promise<void> {
    return this.#connections.close();
  }

  /** What is in a folder, with times: where the listing has none, of one file after the other. */
  async #entries(path: string, signal: AbortSignal | undefined): Promise<FtpEntry[]> {
    const folder = this.#path(path);
    return this.#run("read", path, signal, async (client) => {
      const entries: FtpEntry[] = [];
      for (const entry of await listNames(client, folder)) {
        if (entry.facts !== undefined || entry.isFolder) entries.push(entry);
        else {
          throwIfAborted(signal);
          const facts = await statOf(client, this.#path(path === "" ? entry.name : `${path}/${entry.name}`));
          entries.push({ ...entry, facts });
        }
      }
      return entries;
    });
  }

  async #makeFolders(client: Client, folder: string): Promise<void> {
    if (this.#folders.has(folder)) return;
    const inner = folder.replace(/\/$/, "");
    let refusal: unknown;
    for (let end = inner.indexOf("/", 1); ; end = inner.indexOf("/", end + 1)) {
      const path = end < 0 ? inner : inner.slice(0, end);
      // It is there, or it cannot be made: the file in it will tell.
      if (path !== "" && !this.#folders.has(path)) refusal = await refusalOf(client.send(`MKD ${path}`));
      this.#folders.add(path);
      if (end < 0) break;
    }
    if (this.#isInDoubt && inner !== "") await requireFolder(client, inner, refusal);
    this.#folders.add(folder);
  }

  /** As commands have it: servers take what begins with a dash for an option of ls, and skip spaces. */
  #path(path: string): string {
    const base = this.#place.path;
    const full = path === "" ? base : base === "" || base === "/" ? `${base}${path}` : `${base}/${path}`;
    return checkCommandText(/^[-\s]/.test(full) ? `./${full}` : full, this.location);
  }

  async #run<T>(
    action: "read" | "write",
    path: string,
    signal: AbortSignal | undefined,
    work: (client: Client) => Promise<T>,
  ): Promise<T> {
    throwIfAborted(signal);
    try {
      return await this.#connections.run(work, signal);
    } catch (error) {
      throw ftpError(error, action, path === "" ? this.location : `${this.location}/${path}`);
    }
  }

  #tooLarge(path: string, found: number, expected: number): FormatError {
    return new FormatError(
      `${this.location}/${path} is too large: expected at most ${expected} bytes, found ${found}`,
      { code: "remote-too-large", data: { store: this.location, path, expected, found } },
    );
  }
}
