/**
 * What files there are, and of what size and time: in the words of RFC 3659 (MLST, MLSD, SIZE, MDTM) where
 * the server knows them, else from what LIST or NLST print for people.
 * @module
 */
import { FormatError } from "@imgtool/core";
import type { Client, FileInfo } from "basic-ftp";
import type { ObjectFacts } from "../object-store.ts";
import { replyCode } from "./connections.ts";
import { isMissing, isUnknownCommand } from "./errors.ts";

export interface FtpEntry {
  readonly name: string;
  readonly isFolder: boolean;
  /** Undefined where the listing has no exact time. */
  readonly facts: ObjectFacts | undefined;
}

/** Size of a file in bytes; undefined when there is none, or something else under the name. */
export async function sizeOf(client: Client, path: string): Promise<number | undefined> {
  const answer = await orMissing(client.send(`SIZE ${path}`));
  if (answer === undefined) return undefined;
  const size = /^213 (\d{1,15})\b/.exec(answer.message)?.[1];
  if (size === undefined) throw unexpected("a size", answer.message);
  return Number(size);
}

/** Size and time of a file; undefined as in sizeOf(). */
export async function statOf(client: Client, path: string): Promise<ObjectFacts | undefined> {
  const bytes = await sizeOf(client, path);
  if (bytes === undefined) return undefined;
  const answer = await orMissing(client.send(`MDTM ${path}`));
  if (answer === undefined) return undefined;
  const lastUsed = timeOf(/^213 (\d{14})/.exec(answer.message)?.[1] ?? "");
  if (lastUsed === undefined) throw unexpected("a time", answer.message);
  return { bytes, lastUsed };
}

/** What is in a directory, without links; nothing where it is not there. */
export async function listNames(client: Client, path: string): Promise<FtpEntry[]> {
  let found: readonly FileInfo[];
  try {
    found = await client.list(path);
  } catch (error) {
    if (isMissing(error)) return [];
    // An answer that is no error, but a listing in a form of its own, is none that the library throws.
    const isForeign = replyCode(error) === undefined && /only supports MLSD/.test(String(error));
    if (client.closed || !(isForeign || isUnknownCommand(error))) throw error;
    return listBareNames(client, path);
  }
  return found
    .filter(({ name, isFile, isDirectory }) => isPlainName(name) && (isFile || isDirectory))
    .map(({ name, isDirectory, size, modifiedAt }) => ({
      name,
      isFolder: isDirectory,
      facts: modifiedAt === undefined ? undefined : { bytes: size, lastUsed: endOfSecond(modifiedAt.getTime()) },
    }));
}

/** Names without what they are: those of chunks' folders are taken for folders. */
async function listBareNames(client: Client, path: string): Promise<FtpEntry[]> {
  const { parseList, availableListCommands } = client;
  let names: string[] = [];
  client.availableListCommands = ["NLST"];
  client.parseList = (text) => {
    names = text.split(/\r?\n/).map((line) => line.slice(line.lastIndexOf("/") + 1));
    return [];
  };
  try {
    await client.list(path);
  } catch (error) {
    // 550 of an empty directory
    if (!isMissing(error)) throw error;
  } finally {
    Object.assign(client, { parseList, availableListCommands });
  }
  return names
    .filter((name) => isPlainName(name))
    .map((name) => ({ name, isFolder: /^[0-9a-f]{4}$/.test(name), facts: undefined }));
}

function isPlainName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !/[/\r\n\0]/.test(name);
}

/** `YYYYMMDDhhmmss` in UTC as milliseconds since 1970. */
function timeOf(text: string): number | undefined {
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(text)?.slice(1).map(Number);
  if (parts === undefined) return undefined;
  const [year = 0, month = 1, ...rest] = parts;
  return endOfSecond(Date.UTC(year, month - 1, ...rest));
}

/** Whole seconds: what was used within one was used at its end, so that no prune is too early. */
function endOfSecond(time: number): number {
  return Math.floor(time / 1000) * 1000 + 999;
}

async function orMissing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function unexpected(expected: string, found: string): FormatError {
  return new FormatError(`an FTP server answers ${JSON.stringify(found.slice(0, 200))}, expected ${expected}`, {
    code: "ftp-answer-invalid",
    data: { expected, found: found.slice(0, 200) },
  });
}
