/**
 * One repository of a registry, by the OCI distribution specification 1.1: blobs, manifests and tags.
 * @module
 */
import { createHash } from "node:crypto";
import { FormatError, NetworkError } from "@imgtool/core";
import {
  HttpClient,
  type HttpAnswer,
  type HttpClientOptions,
  type HttpStatistics,
  type SendOptions,
} from "../http-client.ts";
import { statusError } from "../http-errors.ts";
import { type HttpTarget, parseHttpUrl } from "../http-target.ts";
import { type RegistryCredentials, registryCredentials } from "./credentials.ts";
import type { OciPlace } from "./location.ts";

export interface RegistryOptions extends HttpClientOptions {
  /** Default: what registryCredentials() finds. */
  readonly registryCredentials?: RegistryCredentials | undefined;
  /** Tags in a page of their list. Default 1000. */
  readonly pageSize?: number;
}

/** A blob as a manifest names it. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

export interface Manifest {
  readonly artifactType: string;
  readonly layers: readonly Descriptor[];
}

/** The configuration of an artifact that has none: `{}` (image specification 1.1, "Guidance for an empty descriptor"). */
const emptyConfig: Uint8Array = Buffer.from("{}");
const manifestType = "application/vnd.oci.image.manifest.v1+json";
const maxManifest = 4 * 1024 ** 2;
const maxAnswer = 65_536;
/** A list that never ends is not read further: pages of a million tags, if the registry gives as many as are asked for. */
const mostPages = 1000;
/** Uploads of a blob that are begun: the place of one that failed midway is not used again. */
const uploadAttempts = 3;

/** The digest by which registries name bytes. */
function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

export class Registry {
  readonly place: OciPlace;
  readonly #client: HttpClient;
  readonly #tokens: HttpClient;
  readonly #credentials: RegistryCredentials | undefined;
  readonly #pageSize: number;
  /** What requests are authorized with, once the registry has asked for it. */
  #authorization: string | undefined;

  constructor(place: OciPlace, options: RegistryOptions) {
    this.place = place;
    this.#pageSize = options.pageSize ?? 1000;
    this.#credentials =
      options.registryCredentials ?? registryCredentials(new URL(place.origin).host, place.repository);
    // Only the registry itself gets the authorization: blobs are often at another server, which it leads to.
    this.#client = new HttpClient({
      ...options,
      sign: async ({ headers }) =>
        this.#authorization === undefined ? headers : { ...headers, authorization: this.#authorization },
    });
    this.#tokens = new HttpClient(options);
  }

  get statistics(): Readonly<HttpStatistics> {
    return this.#client.statistics;
  }

  /** Every tag that begins with the prefix. */
  async tags(prefix: string, signal?: AbortSignal): Promise<string[]> {
    const found: string[] = [];
    let pages = 0;
    let target: HttpTarget | undefined = this.#target(`tags/list?n=${this.#pageSize}`);
    while (target !== undefined) {
      const answer: HttpAnswer | undefined = await this.#send(target, { method: "GET", maxBytes: maxManifest, signal });
      // A repository that nothing was pushed to is not there.
      if (answer === undefined) return found;
      const { tags } = this.#parse(answer.bytes, target) as { tags?: unknown };
      for (const tag of Array.isArray(tags) ? (tags as unknown[]) : [])
        if (typeof tag === "string" && tag.startsWith(prefix)) found.push(tag);
      if (++pages > mostPages) throw this.#invalid(target, `at most ${mostPages} pages of tags`);
      target = nextPage(target, answer.headers["link"]);
    }
    return found;
  }

  /** The manifest of an artifact under a tag; undefined when there is none. @throws FormatError `registry-invalid` */
  async manifest(tag: string, signal?: AbortSignal): Promise<Manifest | undefined> {
    const target = this.#target(`manifests/${tag}`);
    const answer = await this.#send(target, {
      method: "GET",
      headers: { accept: manifestType },
      maxBytes: maxManifest,
      signal,
    });
    if (answer === undefined) return undefined;
    const { artifactType = "", layers } = this.#parse(answer.bytes, target) as Partial<Manifest>;
    if (!Array.isArray(layers) || !layers.every(isDescriptor)) throw this.#invalid(target, "a manifest with layers");
    return { artifactType, layers };
  }

  /** Pushes an artifact whose layers are there, under the tag, or under the prefix and its own digest. */
  async pushManifest(
    { artifactType, layers }: Manifest,
    tag: string | { readonly prefix: string },
    signal?: AbortSignal,
  ): Promise<void> {
    const config: Descriptor = await this.pushBlob(emptyConfig, "application/vnd.oci.empty.v1+json", undefined, signal);
    const body = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: manifestType, artifactType, config, layers }),
    );
    const name = typeof tag === "string" ? tag : `${tag.prefix}${digestOf(body).slice(7, 47)}`;
    const target = this.#target(`manifests/${name}`);
    const headers = { "content-type": manifestType };
    const answer = await this.#send(target, {
      method: "PUT",
      body,
      headers,
      accept: [201],
      maxBytes: maxAnswer,
      signal,
    });
    if (answer?.status !== 201) throw statusError(target, answer?.status ?? 404, "PUT");
  }

  /**
   * A whole blob, verified; undefined when there is none.
   * @throws FormatError `registry-altered` when it is not what its digest says
   */
  async blob(digest: string, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const target = this.#target(`blobs/${digest}`);
    const answer = await this.#send(target, { method: "GET", maxBytes, signal });
    if (answer === undefined || digestOf(answer.bytes) === digest) return answer?.bytes;
    throw new FormatError(`${target.shown} is not what its digest says`, {
      code: "registry-altered",
      data: { url: target.shown, expected: digest, found: digestOf(answer.bytes) },
    });
  }

  /** A part of a blob, unverified; undefined when there is no such blob. */
  async range(digest: string, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const target = this.#target(`blobs/${digest}`);
    const headers = { range: `bytes=${offset}-${offset + length - 1}` };
    const answer = await this.#send(target, { method: "GET", headers, accept: [206], maxBytes: length, signal });
    if (answer === undefined || answer.bytes.length === length) return answer?.bytes;
    throw new FormatError(`${target.shown} is cut off: expected ${length} bytes, found ${answer.bytes.length}`, {
      code: "registry-truncated",
      data: { url: target.shown, expected: length, found: answer.bytes.length },
    });
  }

  /** Pushes a blob, unless the registry has it. */
  async pushBlob(
    bytes: Uint8Array,
    mediaType: string,
    annotations?: Descriptor["annotations"],
    signal?: AbortSignal,
  ): Promise<Descriptor> {
    const descriptor: Descriptor = {
      mediaType,
      digest: digestOf(bytes),
      size: bytes.length,
      ...(annotations === undefined ? {} : { annotations }),
    };
    const there = this.#target(`blobs/${descriptor.digest}`);
    if ((await this.#send(there, { method: "HEAD", signal })) !== undefined) return descriptor;
    for (let attempt = 1; ; attempt++) {
      const begin = this.#target("blobs/uploads/");
      const begun = await this.#send(begin, {
        method: "POST",
        body: new Uint8Array(0),
        accept: [202],
        maxBytes: maxAnswer,
        signal,
      });
      const location = begun?.headers["location"];
      if (begun?.status !== 202 || typeof location !== "string") throw statusError(begin, begun?.status ?? 404, "POST");
      const upload = this.#uploadTarget(begin, location, descriptor.digest);
      const headers = { "content-type": "application/octet-stream" };
      // 416 and 404: the upload has been begun anew with what the first attempt has sent
      const done = await this.#send(upload, {
        method: "PUT",
        body: bytes,
        headers,
        accept: [201, 204, 400, 416],
        maxBytes: maxAnswer,
        signal,
      });
      if (done?.status === 201 || done?.status === 204) return descriptor;
      if (attempt === uploadAttempts) throw statusError(upload, done?.status ?? 404, "PUT");
    }
  }

  /** Ends connections. */
  async close(): Promise<void> {
    await Promise.all([this.#client.close(), this.#tokens.close()]);
  }

  #target(path: string): HttpTarget {
    const { origin, repository } = this.place;
    return parseHttpUrl(`${origin}/v2/${repository}/${path}`);
  }

  /** Where an upload goes: the registry may send it to another server, but not away from TLS. */
  #uploadTarget(begin: HttpTarget, location: string, digest: string): HttpTarget {
    const isUrl = URL.canParse(location, `${begin.origin}${begin.path}`);
    const url = isUrl ? new URL(location, `${begin.origin}${begin.path}`) : undefined;
    if (
      url === undefined ||
      !/^https?:$/.test(url.protocol) ||
      (begin.origin.startsWith("https:") && url.protocol !== "https:")
    )
      throw this.#invalid(begin, "a URL to upload to");
    url.searchParams.set("digest", digest);
    return parseHttpUrl(url);
  }

  /** Sends a request, once more when the registry has asked who is there. */
  async #send(target: HttpTarget, options: SendOptions): Promise<HttpAnswer | undefined> {
    const accept = [...(options.accept ?? []), 401];
    const answer = await this.#client.send(target, { ...options, accept });
    if (answer?.status !== 401) return answer;
    await this.#authorize(target, options, answer.headers["www-authenticate"]);
    const again = await this.#client.send(target, { ...options, accept });
    if (again?.status !== 401) return again;
    throw unauthorized(target, options.method);
  }

  /**
   * What the registry asks for: the user's name and password, or a token that its service gives for them
   * (distribution project, "Token authentication specification").
   */
  async #authorize(target: HttpTarget, { method, signal }: SendOptions, challenge: unknown): Promise<void> {
    const text = typeof challenge === "string" ? challenge : "";
    const basic =
      this.#credentials &&
      `Basic ${Buffer.from(`${this.#credentials.username}:${this.#credentials.password}`).toString("base64")}`;
    if (/^basic\b/i.test(text)) {
      this.#authorization = basic;
      return;
    }
    const field = (name: string): string | undefined => new RegExp(`[\\s,]${name}="([^"]*)"`, "i").exec(text)?.[1];
    const realm = field("realm");
    const isSafe =
      realm !== undefined &&
      URL.canParse(realm) &&
      (realm.startsWith("https:") || (realm.startsWith("http:") && target.origin.startsWith("http:")));
    if (!/^bearer\b/i.test(text) || !isSafe) throw this.#invalid(target, "a challenge that names a realm");
    const url = new URL(realm);
    for (const name of ["service", "scope"]) {
      const value = field(name);
      if (value !== undefined) url.searchParams.set(name, value);
    }
    const answer = await this.#tokens.send(parseHttpUrl(url), {
      method: "GET",
      headers: basic === undefined ? {} : { authorization: basic },
      accept: [401, 403],
      maxBytes: maxAnswer,
      signal,
    });
    // Name or password are wrong, or nobody without them gets a token.
    if (answer?.status === 401 || answer?.status === 403) throw unauthorized(target, method);
    const { token, access_token: accessToken } = this.#parse(answer?.bytes ?? new Uint8Array(0), target) as {
      token?: unknown;
      access_token?: unknown;
    };
    const given = token ?? accessToken;
    if (typeof given !== "string") throw this.#invalid(target, "a token");
    this.#authorization = `Bearer ${given}`;
  }

  #parse(bytes: Uint8Array, target: HttpTarget): object {
    try {
      const parsed: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
      if (typeof parsed === "object" && parsed !== null) return parsed;
    } catch {
      // told below
    }
    throw this.#invalid(target, "a JSON object");
  }

  #invalid(target: HttpTarget, expected: string): FormatError {
    return new FormatError(`${target.shown} does not answer as a registry does: expected ${expected}`, {
      code: "registry-invalid",
      hint: "check the location: a web server is not a registry",
      data: { url: target.shown, expected },
    });
  }
}

function unauthorized(target: HttpTarget, method: string): NetworkError {
  return new NetworkError(`the registry lets nobody with these credentials ${method} ${target.shown}`, {
    code: "registry-unauthorized",
    hint: `log in with podman login, skopeo login or docker login ${new URL(target.origin).host}`,
    data: { url: target.shown, found: 401 },
  });
}

function isDescriptor(value: unknown): value is Descriptor {
  const { mediaType, digest, size } = (value ?? {}) as Partial<Descriptor>;
  const isSize = typeof size === "number" && Number.isSafeInteger(size) && size >= 0;
  return typeof mediaType === "string" && typeof digest === "string" && /^sha256:[0-9a-f]{64}$/.test(digest) && isSize;
}

/** RFC 8288: `</v2/…?last=…>; rel="next"`; only of the same server, and never the same page again. */
function nextPage(from: HttpTarget, link: unknown): HttpTarget | undefined {
  const path = typeof link === "string" ? /<([^>]+)>;\s*rel="?next"?/.exec(link)?.[1] : undefined;
  const base = `${from.origin}${from.path}${from.query}`;
  if (path === undefined || !URL.canParse(path, base)) return undefined;
  const url = new URL(path, base);
  return url.origin === from.origin && url.href !== new URL(base).href ? parseHttpUrl(url) : undefined;
}
