/**
 * URLs taken apart: what is sent, and what may be shown. User names, passwords and the query (where
 * signed URLs have their signature) are sent but never appear in a message.
 * @module
 */
import { ConfigError } from "@imgtool/core";

export interface HttpTarget {
  readonly origin: string;
  /** Path with its leading slash, percent-encoded, without the query. */
  readonly path: string;
  /** Query with its leading `?`, or the empty string. */
  readonly query: string;
  /** Value of the Authorization header that the URL's user name and password make. */
  readonly authorization: string | undefined;
  /** The URL for messages. */
  readonly shown: string;
}

/** Whether a location is an http or https URL rather than a path. */
export function isHttpUrl(location: string): boolean {
  return /^https?:\/\//i.test(location);
}

/** @throws ConfigError `url-invalid` unless it is an http or https URL */
export function parseHttpUrl(url: string | URL): HttpTarget {
  const parsed = typeof url === "string" && isHttpUrl(url) && URL.canParse(url) ? new URL(url) : url;
  if (typeof parsed === "string" || !isHttpUrl(parsed.href)) {
    // an invalid URL can still hold a password: it is shown only up to its host
    const text = String(url).replace(/^([a-z]+:\/\/)[^/]*@/i, "$1");
    throw new ConfigError(`not an http or https URL: ${text.split("?", 1)[0]}`, { code: "url-invalid" });
  }
  const { origin, pathname, search, username, password } = parsed;
  const credentials = `${decode(username)}:${decode(password)}`;
  return {
    origin,
    path: pathname,
    query: search,
    authorization: credentials === ":" ? undefined : `Basic ${Buffer.from(credentials).toString("base64")}`,
    shown: `${origin}${pathname}`,
  };
}

/** The target of a path below another one, for example a chunk in a store; the query is kept. */
export function below(base: HttpTarget, path: string): HttpTarget {
  const separator = base.path.endsWith("/") ? "" : "/";
  return { ...base, path: `${base.path}${separator}${path}`, shown: `${base.shown}${separator}${path}` };
}

/**
 * Where a redirection leads, or undefined where it must not be followed: away from https. Credentials
 * stay with the origin that they were given for.
 */
export function redirected(from: HttpTarget, location: string): HttpTarget | undefined {
  if (!URL.canParse(location, `${from.origin}${from.path}`)) return undefined;
  const url = new URL(location, `${from.origin}${from.path}`);
  if (!isHttpUrl(url.href)) return undefined;
  const target = parseHttpUrl(url);
  if (from.origin.startsWith("https:") && !target.origin.startsWith("https:")) return undefined;
  return target.origin === from.origin
    ? { ...target, authorization: target.authorization ?? from.authorization }
    : target;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray % that the URL parser let through stands for itself
  }
}
