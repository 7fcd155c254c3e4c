/**
 * What a section of stores.conf is for: `https://example.org/images/*`. Scheme, host and path are compared
 * each by itself, so that no pattern takes a host that only begins like the one that is meant.
 * @module
 */
import { ConfigError } from "@imgtool/core";

export interface UrlPattern {
  /** As it is written. */
  readonly text: string;
  /** In lower case, without the colon. */
  readonly scheme: string;
  /** With its port, unless it is the scheme's own; `*.example.org` stands for every host below example.org. */
  readonly host: string;
  /** With its leading slash; `*` stands for any characters. Without one, it stands for all that is below, too. */
  readonly path: string;
}

interface UrlParts {
  readonly scheme: string;
  readonly host: string;
  readonly path: string;
}

/** @throws ConfigError `url-pattern-invalid` */
export function parseUrlPattern(text: string, place: string): UrlPattern {
  const invalid = (found: string): ConfigError =>
    new ConfigError(`${place}: ${found}`, {
      code: "url-pattern-invalid",
      hint: "expected a URL in which * stands for any characters of the path: [Store https://example.org/images/*]",
      data: { place },
    });
  // A password in a pattern is shown no more than one in a URL.
  if (/^[^/]*:\/\/[^/]*@/.test(text)) throw invalid("the pattern of a store has a user name or a password");
  const parts = urlParts(text);
  if (parts === undefined) throw invalid(`the pattern of a store is no URL: ${text}`);
  if (/[?#]/.test(text)) throw invalid(`the pattern of a store ends with its path: ${text}`);
  if (parts.host.replace(/^\*\./, "").includes("*"))
    throw invalid(`in the pattern of a store, * stands for whole hosts below another (*.example.org): ${text}`);
  return { text, ...parts };
}

/** A location taken apart; undefined where it is no URL. Users, passwords, queries and ports by default are left out. */
function urlParts(location: string): UrlParts | undefined {
  const [, scheme = "", authority = "", path = ""] = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)([^?#]*)/i.exec(location) ?? [];
  if (scheme === "" || authority === "") return undefined;
  if (/^https?$/i.test(scheme)) {
    // As requests are sent: without dots in the path, the host in its one form.
    if (!URL.canParse(location)) return undefined;
    const { protocol, host, pathname } = new URL(location);
    return { scheme: protocol.slice(0, -1), host, path: pathname };
  }
  const host = authority.slice(authority.lastIndexOf("@") + 1);
  return { scheme: scheme.toLowerCase(), host: host.toLowerCase(), path: path === "" ? "/" : path };
}

/** Whether a pattern is for a location. */
export function matchesUrl(pattern: UrlPattern, location: string): boolean {
  const url = urlParts(location);
  if (url === undefined || url.scheme !== pattern.scheme) return false;
  const isHost = pattern.host.startsWith("*.")
    ? url.host.endsWith(pattern.host.slice(1)) && url.host.length >= pattern.host.length
    : url.host === pattern.host;
  return isHost && matchesPath(pattern.path, url.path);
}

function matchesPath(pattern: string, path: string): boolean {
  if (!pattern.includes("*")) {
    const folder = pattern.replace(/\/+$/, "");
    return path === pattern || path === folder || path.startsWith(`${folder}/`);
  }
  const [first = "", ...others] = pattern.split("*");
  const last = others.pop() ?? "";
  if (!path.startsWith(first) || !path.endsWith(last) || path.length < first.length + last.length) return false;
  // The first place that a part fits at leaves the most for the others: no pattern takes long.
  let at = first.length;
  for (const part of others) {
    const found = path.indexOf(part, at);
    if (found < 0 || found + part.length > path.length - last.length) return false;
    at = found + part.length;
  }
  return true;
}

/** Sorts patterns, the most specific first: one host before hosts below another, then the longer host, then the longer path. */
export function compareSpecificity(a: UrlPattern, b: UrlPattern): number {
  const [hosts, otherHosts] = [a.host.startsWith("*"), b.host.startsWith("*")];
  if (hosts !== otherHosts) return hosts ? 1 : -1;
  return (
    b.host.length - a.host.length ||
    literalLength(b.path) - literalLength(a.path) ||
    Number(a.path.includes("*")) - Number(b.path.includes("*"))
  );
}

function literalLength(path: string): number {
  return path.replaceAll("*", "").length;
}
