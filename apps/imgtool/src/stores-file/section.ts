/**
 * One section of stores.conf: what its settings mean to the drivers. Values are never shown: what is wrong with
 * them is said by file and line.
 * @module
 */
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { type IniSection, nearest } from "@imgtool/config";
import { ConfigError, parseSize } from "@imgtool/core";
import { type OpenStoreOptions, RateLimit } from "@imgtool/store";
import { duration } from "../parse.ts";
import { readNamedFile } from "./secret-file.ts";
import { parseUrlPattern, type UrlPattern } from "./url-pattern.ts";

/** A section whose form is right; the files that it names are read when it is used. */
export interface StoreSection {
  readonly pattern: UrlPattern;
  /** `stores.conf:3`. */
  readonly place: string;
  /** Whether a secret stands in it, rather than in a file that it names. */
  readonly isSecret: boolean;
  /** @throws as readNamedFile(); ConfigError `config-invalid` for what is in the files */
  options(): OpenStoreOptions;
}

const transfer: readonly string[] = ["Timeout", "RateLimit"];
const certificates: readonly string[] = ["ClientCertificate", "ClientKey", "CertificateAuthority", "Retries"];
const credentials: readonly string[] = ["BearerToken", "BearerTokenFile", "User", "PasswordFile", "Header"];
const all: readonly string[] = [...credentials, ...certificates, ...transfer];

/** Which settings a scheme has: the others have credentials of their own, or the ssh client does. */
function settingsOf(scheme: string): readonly string[] | undefined {
  if (/^https?$/.test(scheme)) return all;
  if (/^(?:(?:s3|gs|azure|oci)(?:\+https?)?|ftps?)$/.test(scheme)) return [...certificates, ...transfer];
  return scheme === "sftp" ? transfer : undefined;
}

/** Headers that say how a message is read, and those that imgtool sets itself. */
const ownHeaders =
  /^(?:host|content-.*|transfer-encoding|connection|keep-alive|upgrade|expect|te|trailer|accept-encoding|range|if-.*|proxy-.*)$/i;

/** @throws ConfigError `config-invalid`, `url-pattern-invalid` */
export function readSection(section: IniSection, file: string): StoreSection {
  const place = `${file}:${section.line}`;
  const [, url] = /^Store\s+(.*)$/.exec(section.name) ?? [];
  if (url === undefined) throw invalid(place, "expected a section [Store URL]", "[Store https://example.org/*]");
  const pattern = parseUrlPattern(url.trim(), place);
  const known = settingsOf(pattern.scheme);
  if (known === undefined) {
    const schemes = "http, https, s3, gs, azure, oci, ftp, ftps or sftp";
    throw invalid(place, `there are no settings for ${pattern.scheme}:// locations`, `expected ${schemes}`);
  }
  const values = new Map<string, Value>();
  const headers: Value[] = [];
  for (const { key, value, line } of section.entries) {
    const at = `${file}:${line}`;
    if (!known.includes(key)) throw unknownSetting(at, key, pattern, known);
    if (value === "" || value.includes("\n")) throw invalid(at, `${key}= has no value of one line`);
    if (key === "Header") headers.push({ value, place: at });
    else if (values.has(key)) throw invalid(at, `${key}= is set twice for one store`, "leave one of them out");
    else values.set(key, { value, place: at });
  }
  const path = (name: string): Value | undefined => {
    const found = values.get(name);
    if (found === undefined) return undefined;
    const { value } = found;
    const full = value.startsWith("~/") ? join(homedir(), value.slice(2)) : value;
    return { value: full.startsWith("/") ? full : join(dirname(file), full), place: found.place };
  };
  checkTogether(values, place, "BearerToken", "BearerTokenFile", "User");
  for (const [one, other] of pairs) {
    if (values.has(one) !== values.has(other))
      throw invalid(place, `${one}= and ${other}= belong together, and only one of them is set`);
  }
  const parsedHeaders = headers.map(parseHeader);
  if (parsedHeaders.some(([name]) => name === "authorization"))
    checkTogether(new Map([...values, ["Header", { value: "", place }]]), place, "Header", ...authorizations);
  const token = values.get("BearerToken");
  if (token !== undefined) checkToken(token.value, token.place);
  const numbers = numberOptions(values);
  return {
    pattern,
    place,
    isSecret: token !== undefined || headers.length > 0,
    options() {
      const authorization = authorizationOf(token, path("BearerTokenFile"), values.get("User"), path("PasswordFile"));
      const all = { ...Object.fromEntries(parsedHeaders), ...(authorization === undefined ? {} : { authorization }) };
      const [authority, certificate, key] = [
        path("CertificateAuthority"),
        path("ClientCertificate"),
        path("ClientKey"),
      ];
      return {
        ...numbers,
        ...(Object.keys(all).length === 0 ? {} : { headers: all }),
        ...(authority === undefined ? {} : { certificateAuthority: readPem(authority, "CERTIFICATE", false) }),
        ...(certificate === undefined ? {} : { clientCertificate: readPem(certificate, "CERTIFICATE", false) }),
        ...(key === undefined ? {} : { clientKey: readPem(key, "PRIVATE KEY", true) }),
      };
    },
  };
}

interface Value {
  readonly value: string;
  readonly place: string;
}

const authorizations = ["BearerToken", "BearerTokenFile", "User"] as const;
const pairs = [
  ["User", "PasswordFile"],
  ["ClientCertificate", "ClientKey"],
] as const;

function invalid(place: string, what: string, hint = "docs/stores.md lists the settings of stores.conf"): ConfigError {
  return new ConfigError(`${place}: ${what}`, { code: "config-invalid", hint, data: { place } });
}

function unknownSetting(place: string, key: string, pattern: UrlPattern, known: readonly string[]): ConfigError {
  if (all.includes(key)) return invalid(place, `${key}= is not for ${pattern.scheme}:// locations`);
  const meant = nearest(key, known);
  // What looks like no setting may be a piece of a token, and is not shown.
  return meant === undefined
    ? invalid(place, "unknown setting")
    : invalid(place, `unknown setting ${key}=`, `did you mean ${meant}=?`);
}

/** Of several ways to say who one is, there may be one. */
function checkTogether(values: ReadonlyMap<string, Value>, place: string, ...names: readonly string[]): void {
  const set = names.filter((name) => values.has(name));
  if (set.length > 1)
    throw invalid(
      place,
      `${set.map((name) => `${name}=`).join(" and ")} both make the Authorization header`,
      "keep one",
    );
}

/** @returns the name in lower case, and the value */
function parseHeader({ value, place }: Value): readonly [string, string] {
  const [, name = "", content = ""] = /^([!#$%&'*+.^_`|~0-9a-z-]+):\s*(.*)$/i.exec(value) ?? [];
  if (name === "" || !/^[\t\x20-\x7e]*$/.test(content))
    throw invalid(place, "Header= is no header", "expected a name and a value in ASCII: Header=X-Api-Key: 1234");
  if (ownHeaders.test(name)) throw invalid(place, `the header ${name} is set by imgtool itself`, "leave it out");
  return [name.toLowerCase(), content];
}

/** RFC 6750, 2.1: what a token can be, which also says where a comment has cut it. */
function checkToken(token: string, place: string): string {
  if (/^[A-Za-z0-9\-._~+/]+=*$/.test(token)) return token;
  throw invalid(place, "this is no bearer token", "expected letters, digits and -._~+/ in one line, without quotes");
}

function authorizationOf(
  token: Value | undefined,
  tokenFile: Value | undefined,
  user: Value | undefined,
  passwordFile: Value | undefined,
): string | undefined {
  if (token !== undefined) return `Bearer ${token.value}`;
  if (tokenFile !== undefined) {
    const text = readNamedFile(tokenFile.value, tokenFile.place, true);
    return `Bearer ${checkToken(text.trim(), `${tokenFile.place}: ${tokenFile.value}`)}`;
  }
  if (user === undefined || passwordFile === undefined) return undefined;
  if (user.value.includes(":")) throw invalid(user.place, "a user name has no colon (RFC 7617)");
  const password = readNamedFile(passwordFile.value, passwordFile.place, true).replace(/\r?\n$/, "");
  if (/[\r\n\0]/.test(password))
    throw invalid(passwordFile.place, `${passwordFile.value} is no password: expected one line`);
  return `Basic ${Buffer.from(`${user.value}:${password}`).toString("base64")}`;
}

function readPem({ value, place }: Value, kind: string, isSecret: boolean): string {
  const text = readNamedFile(value, place, isSecret);
  if (new RegExp(`^-----BEGIN [A-Z0-9 ]*${kind}-----\\r?$`, "m").test(text)) return text;
  throw invalid(place, `${value} has no ${kind.toLowerCase()} in PEM form`, `expected a line -----BEGIN ${kind}-----`);
}

function numberOptions(values: ReadonlyMap<string, Value>): OpenStoreOptions {
  const [timeout, retries, rate] = ["Timeout", "Retries", "RateLimit"].map((name) => values.get(name));
  const time = timeout === undefined ? 0 : parsed(timeout, duration);
  if (timeout !== undefined && !(time >= 1))
    throw invalid(timeout.place, "Timeout= is no time", "expected 30, 2m or 1h");
  if (retries !== undefined && !/^\d{1,4}$/.test(retries.value))
    throw invalid(retries.place, "Retries= is no number", "expected how often a request is sent again: 0, 5");
  return {
    ...(timeout === undefined
      ? {}
      : { connectTimeout: time, headersTimeout: time, bodyTimeout: time, ftpTimeout: time, sshTimeout: time }),
    ...(retries === undefined ? {} : { retries: Number(retries.value) }),
    ...(rate === undefined ? {} : { rateLimit: parsed(rate, (text) => new RateLimit(parseSize(text))) }),
  };
}

function parsed<T>({ value, place }: Value, parse: (text: string) => T): T {
  try {
    return parse(value);
  } catch (error) {
    throw invalid(place, error instanceof Error ? error.message : String(error));
  }
}
