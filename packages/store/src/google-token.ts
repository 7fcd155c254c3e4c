/**
 * OAuth tokens for Google Cloud Storage: given ones, those that a service account or a login gets for its
 * key, and those of the machine itself where it runs at Google's.
 * @module
 */
import { createSign } from "node:crypto";
import { readFile } from "node:fs/promises";
import { ConfigError, errorMessage, NetworkError } from "@imgtool/core";
import type { GoogleCredentials } from "./google-credentials.ts";
import { HttpClient } from "./http-client.ts";
import { parseHttpUrl } from "./http-target.ts";

type TokenCredentials = Exclude<GoogleCredentials, { kind: "hmac" }>;

interface Token {
  readonly token: string;
  /** When to ask for another, by Date.now(). */
  readonly until: number;
}

/** A token is given up this long before it ends. */
const margin = 60_000;
const scope = "https://www.googleapis.com/auth/devstorage.read_write";

/** Tokens for requests: one is used as long as it lasts. */
export class TokenSource {
  readonly #credentials: TokenCredentials;
  #current: Promise<Token> | undefined;

  constructor(credentials: TokenCredentials) {
    this.#credentials = credentials;
  }

  /** @throws ConfigError `credentials-invalid`; NetworkError `token-refused` */
  async token(): Promise<string> {
    const asked = this.#current;
    const known = await asked?.catch(() => undefined);
    // Of many requests that find it ended, the first asks for the next one.
    if ((known === undefined || Date.now() >= known.until) && this.#current === asked) this.#current = this.#fetch();
    return (await (this.#current ?? this.#fetch())).token;
  }

  async #fetch(): Promise<Token> {
    const credentials = this.#credentials;
    if (credentials.kind === "token") return { token: checked(credentials.token, "the token"), until: Infinity };
    if (credentials.kind === "token-file") {
      const token = (await readText(credentials.path)).trim();
      return { token: checked(token, credentials.path), until: Date.now() + margin };
    }
    if (credentials.kind === "metadata") {
      const path = "/computeMetadata/v1/instance/service-accounts/default/token";
      return askForToken(`http://${credentials.host}${path}`, undefined);
    }
    const key = await readKey(credentials.path);
    return askForToken(key.tokenUri, tokenRequest(key));
  }
}

/** A token is sent as a header. */
function checked(token: string, where: string): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw invalidFile(where, "no token of printable characters");
}

interface KeyFile {
  readonly tokenUri: string;
  readonly account?: { readonly email: string; readonly privateKey: string };
  readonly user?: { readonly id: string; readonly secret: string; readonly refreshToken: string };
}

async function readKey(path: string): Promise<KeyFile> {
  const text = await readText(path);
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = Object(JSON.parse(text)) as Readonly<Record<string, unknown>>;
  } catch {
    // the parser's message repeats what it found, which may be a key
    throw invalidFile(path, "no JSON");
  }
  const field = (name: string): string => {
    const value = fields[name];
    if (typeof value === "string") return value;
    throw invalidFile(path, `no ${name}`);
  };
  const tokenUri = fields["token_uri"] === undefined ? "https://oauth2.googleapis.com/token" : field("token_uri");
  switch (fields["type"]) {
    case "service_account":
      return { tokenUri, account: { email: field("client_email"), privateKey: field("private_key") } };
    case "authorized_user":
      return {
        tokenUri,
        user: { id: field("client_id"), secret: field("client_secret"), refreshToken: field("refresh_token") },
      };
    default:
      throw invalidFile(path, `the type ${JSON.stringify(fields["type"])}`);
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new ConfigError(`cannot read the credentials ${path}: ${errorMessage(error)}`, {
      code: "credentials-invalid",
      hint: "GOOGLE_APPLICATION_CREDENTIALS and CLOUDSDK_AUTH_ACCESS_TOKEN_FILE name such files",
      data: { path },
      cause: error,
    });
  }
}

function invalidFile(path: string, found: string): ConfigError {
  return new ConfigError(`${path} has no credentials of Google's: found ${found}`, {
    code: "credentials-invalid",
    hint: "expected the key file of a service account, or of gcloud auth application-default login",
    data: { path, expected: ["service_account", "authorized_user"], found },
  });
}

/** RFC 7523: the account's own signature is exchanged for a token; RFC 6749, 6: so is a refresh token. */
function tokenRequest({ tokenUri, account, user }: KeyFile): URLSearchParams {
  if (user !== undefined) {
    const { id, secret, refreshToken } = user;
    const grant = { grant_type: "refresh_token", refresh_token: refreshToken };
    return new URLSearchParams({ ...grant, client_id: id, client_secret: secret });
  }
  const { email = "", privateKey = "" } = account ?? {};
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: email, scope, aud: tokenUri, iat: now, exp: now + 3600 };
  const text = [{ alg: "RS256", typ: "JWT" }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  let signature: string;
  try {
    signature = createSign("RSA-SHA256").update(text).sign(privateKey, "base64url");
  } catch (error) {
    throw new ConfigError("the service account's private key cannot be used", {
      code: "credentials-invalid",
      hint: "expected private_key with an RSA key in PEM form",
      cause: error,
    });
  }
  return new URLSearchParams({
    grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
    assertion: `${text}.${signature}`,
  });
}

/** Without a form, the metadata server is asked. */
async function askForToken(url: string, form: URLSearchParams | undefined): Promise<Token> {
  const client = new HttpClient({ proxy: form !== undefined });
  try {
    const answer = await client.send(parseHttpUrl(url), {
      ...(form === undefined
        ? { method: "GET", headers: { "metadata-flavor": "Google" } }
        : {
            method: "POST",
            body: Buffer.from(form.toString()),
            headers: { "content-type": "application/x-www-form-urlencoded" },
          }),
      maxBytes: 65_536,
      accept: [400, 401, 403],
    });
    const fields = answer?.status === 200 ? tokenFields(answer.bytes) : undefined;
    if (fields === undefined) {
      throw new NetworkError(`${parseHttpUrl(url).shown} gives no token`, {
        code: "token-refused",
        hint: "check that the service account or login is still valid",
        data: { url: parseHttpUrl(url).shown, expected: 200, found: answer?.status ?? 404 },
      });
    }
    return { token: fields.token, until: Date.now() + fields.seconds * 1000 - margin };
  } finally {
    await client.close();
  }
}

function tokenFields(bytes: Uint8Array): { readonly token: string; readonly seconds: number } | undefined {
  try {
    const fields = Object(JSON.parse(Buffer.from(bytes).toString())) as Readonly<Record<string, unknown>>;
    const { access_token: token, expires_in: seconds = 3600 } = fields;
    if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token) || typeof seconds !== "number") return undefined;
    return { token, seconds };
  } catch {
    return undefined;
  }
}
