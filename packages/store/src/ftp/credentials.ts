/**
 * Who logs in to an FTP server: the user of the URL, of ~/.netrc, or of the environment; otherwise
 * anonymous.
 * @module
 */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { EnvironmentError, errorMessage } from "@imgtool/core";
import { notThere } from "../local-errors.ts";
import { checkCommandText, type FtpPlace } from "./location.ts";

export interface FtpCredentials {
  readonly user: string;
  readonly password: string;
}

/**
 * In this order: user and password of the URL; what NETRC or ~/.netrc has for the host (and the URL's user);
 * FTP_USER and FTP_PASSWORD, which go to any host; anonymous.
 * @throws EnvironmentError `credentials-unreadable`; ConfigError `url-invalid`
 */
export function ftpCredentials(place: FtpPlace, environment: NodeJS.ProcessEnv = process.env): FtpCredentials {
  const { user, password } = place;
  const { FTP_USER, FTP_PASSWORD } = environment;
  const found =
    user !== undefined && password !== undefined
      ? { user, password }
      : (netrcEntry(place.host, user, environment) ??
        (FTP_USER && (user === undefined || user === FTP_USER)
          ? { user: FTP_USER, password: FTP_PASSWORD ?? "" }
          : { user: user ?? "anonymous", password: user === undefined ? "imgtool@" : "" }));
  return {
    user: checkCommandText(found.user, place.shown),
    password: checkCommandText(found.password, place.shown),
  };
}

function netrcEntry(
  host: string,
  user: string | undefined,
  environment: NodeJS.ProcessEnv,
): FtpCredentials | undefined {
  const path = environment["NETRC"] || join(environment["HOME"] || homedir(), ".netrc");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (notThere(error)) return undefined;
    throw new EnvironmentError(`cannot read ${path}: ${errorMessage(error)}`, {
      code: "credentials-unreadable",
      hint: "check its owner and mode, or write user and password into the URL",
      data: { path },
      cause: error,
    });
  }
  return findInNetrc(text, host, user);
}

/**
 * The first entry for the host, and for the user where one is given; what `default` says is for all hosts.
 * The form is that of ftp(1) with curl's quoted words.
 */
export function findInNetrc(text: string, host: string, user?: string): FtpCredentials | undefined {
  // A macro reaches to the next empty line, and may hold anything.
  const lines = text.replaceAll(/^[ \t]*macdef\b.*(?:\n.+)*/gm, "").replaceAll(/^[ \t]*#.*/gm, "");
  const words = Array.from(lines.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g), ([, quoted, bare]) =>
    bare === undefined ? (quoted ?? "").replaceAll(/\\(.)/g, "$1") : bare,
  );
  let entry: { matches: boolean; user?: string; password?: string } = { matches: false };
  const entries = [entry];
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    if (word === "default") entries.push((entry = { matches: true }));
    else if (word === "machine") entries.push((entry = { matches: words[++i]?.toLowerCase() === host.toLowerCase() }));
    else if (word === "login") entry.user = words[++i] ?? "";
    else if (word === "password") entry.password = words[++i] ?? "";
    else if (word === "account") i++;
  }
  const found = entries.find(
    (each) => each.matches && each.user !== undefined && (user === undefined || each.user === user),
  );
  return found?.user === undefined ? undefined : { user: found.user, password: found.password ?? "" };
}
