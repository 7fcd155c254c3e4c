/**
 * Locations on other machines, reached by ssh: casync's `[user@]host:path`, and
 * `ssh://[user@]host[:port]/path`. Nothing in them can become an option of ssh or of the program at
 * the other end, or a command of the other machine's shell.
 * @module
 */
import { ConfigError } from "@imgtool/core";

export interface SshLocation {
  /** `[user@]host`, as ssh takes it. */
  readonly destination: string;
  readonly port: number | undefined;
  /** As the other machine has it; a relative one begins in the user's home there. */
  readonly path: string;
}

/** Letters that casync takes for a host's name, and those of IPv6 addresses in a URL. */
const short = /^(?:([A-Za-z0-9_.-]+)@)?([A-Za-z0-9_.-]+):(.*)$/s;
const long = /^ssh:\/\/(?:([^@/]*)@)?(\[[0-9a-z:.%]+\]|[^/:[\]]*)(?::([^/]*))?(\/.*)?$/is;

/**
 * Whether a location is on another machine, by casync's rule: what begins with `/` or `./` is a path,
 * what has a host's name before its first colon is not.
 */
export function isSshLocation(location: string): boolean {
  if (/^ssh:\/\//i.test(location)) return true;
  return !/^\.?\//.test(location) && !/^[a-z][a-z0-9+.-]*:\/\//i.test(location) && short.test(location);
}

/** @throws ConfigError `ssh-location-invalid` */
export function parseSshLocation(location: string): SshLocation {
  const isUrl = /^ssh:\/\//i.test(location);
  const match = (isUrl ? long : short).exec(location);
  if (match === null) throw invalid(location, "a location like host:path or ssh://host/path");
  const [, user, bracketed = "", port, rest] = isUrl ? match : [match[0], match[1], match[2], undefined, match[3]];
  const host = bracketed.replace(/^\[(.*)\]$/s, "$1");
  if (isUrl && user?.includes(":") === true) {
    throw new ConfigError("the URL of another machine holds a password, which other users of this machine can see", {
      code: "credentials-in-url",
      hint: "leave it out: ssh asks for it, or uses a key; ssh-copy-id puts yours there",
    });
  }
  for (const name of [...(user === undefined ? [] : [user]), host]) {
    // ssh would take what begins with a dash for an option.
    if (!/^[A-Za-z0-9_.:%][A-Za-z0-9_.:%-]*$/.test(name)) throw invalid(location, "plain user and host names");
  }
  if (port !== undefined && (!/^\d{1,5}$/.test(port) || Number(port) > 65_535 || Number(port) === 0)) {
    throw invalid(location, "a port from 1 to 65535");
  }
  const path = isUrl ? urlPath(location, rest ?? "") : (rest ?? "");
  if (path === "" || path.includes("\0") || path.includes("\n")) throw invalid(location, "a path after the host");
  return {
    destination: user === undefined ? host : `${user}@${host}`,
    port: port === undefined ? undefined : Number(port),
    path,
  };
}

/** `/~/x` is x in the user's home, as git has it. */
function urlPath(location: string, path: string): string {
  try {
    return decodeURIComponent(path).replace(/^\/~\//, "");
  } catch {
    throw invalid(location, "whole percent-escapes");
  }
}

/** A location as it was given, with another path. */
export function withPath(location: string, change: (path: string) => string): string {
  const { destination, port, path } = parseSshLocation(location);
  if (!/^ssh:\/\//i.test(location)) return `${destination}:${change(path)}`;
  const changed = change(path);
  const encoded = changed.split("/").map(encodeURIComponent).join("/");
  const host = destination.replace(/([^@]*:[^@]*)$/, "[$1]");
  const from = changed.startsWith("/") ? "" : "/~/";
  return `ssh://${host}${port === undefined ? "" : `:${port}`}${from}${encoded}`;
}

/** Whether two locations are on the same machine, for the same user. */
export function sameRemote(a: SshLocation, b: SshLocation): boolean {
  return a.destination === b.destination && a.port === b.port;
}

function invalid(location: string, expected: string): ConfigError {
  return new ConfigError(`not a location on another machine: ${JSON.stringify(location)}, expected ${expected}`, {
    code: "ssh-location-invalid",
    hint: "write user@host:path or ssh://user@host:port/path; a local file with a colon in its name as ./name",
    data: { expected, found: location },
  });
}
