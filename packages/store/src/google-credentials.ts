/**
 * Who asks Google Cloud Storage: an HMAC key, whose requests are signed, or an OAuth token, which is sent
 * with them.
 * @module
 */
import { readFileSync } from "node:fs";
import { ConfigError } from "@imgtool/core";
import { TokenSource } from "./google-token.ts";
import type { SignableRequest } from "./http-client.ts";
import { googleWords, signerV4, type SigningKey } from "./signature-v4.ts";

export type GoogleCredentials =
  | ({ readonly kind: "hmac" } & Omit<SigningKey, "sessionToken">)
  | { readonly kind: "token"; readonly token: string }
  /** A file that holds a token, which another program renews. */
  | { readonly kind: "token-file"; readonly path: string }
  /** A key file of a service account, or what `gcloud auth application-default login` writes. */
  | { readonly kind: "key-file"; readonly path: string }
  /** The service account of the machine, from its metadata server. */
  | { readonly kind: "metadata"; readonly host: string };

/**
 * From the environment, in this order: GOOGLE_ACCESS_KEY_ID and GOOGLE_SECRET_ACCESS_KEY;
 * CLOUDSDK_AUTH_ACCESS_TOKEN; CLOUDSDK_AUTH_ACCESS_TOKEN_FILE; GOOGLE_APPLICATION_CREDENTIALS, a key file; the
 * metadata server, GCE_METADATA_HOST or that of Google's machines. Undefined: requests are not authorized,
 * which public buckets allow.
 * @throws ConfigError `credentials-incomplete`
 */
export function googleCredentials(environment: NodeJS.ProcessEnv = process.env): GoogleCredentials | undefined {
  const { GOOGLE_ACCESS_KEY_ID: accessKeyId, GOOGLE_SECRET_ACCESS_KEY: secretAccessKey } = environment;
  if (accessKeyId && secretAccessKey) return { kind: "hmac", accessKeyId, secretAccessKey };
  if (accessKeyId || secretAccessKey) {
    throw new ConfigError("only one of GOOGLE_ACCESS_KEY_ID and GOOGLE_SECRET_ACCESS_KEY is set", {
      code: "credentials-incomplete",
      hint: "set both, or neither for a public bucket",
    });
  }
  const { CLOUDSDK_AUTH_ACCESS_TOKEN: token, CLOUDSDK_AUTH_ACCESS_TOKEN_FILE: file } = environment;
  if (token) return { kind: "token", token };
  if (file) return { kind: "token-file", path: file };
  const { GOOGLE_APPLICATION_CREDENTIALS: keyFile, GCE_METADATA_HOST: host } = environment;
  if (keyFile) return { kind: "key-file", path: keyFile };
  if (host) return { kind: "metadata", host };
  return isAtGoogle() ? { kind: "metadata", host: "metadata.google.internal" } : undefined;
}

/** Elsewhere the metadata server's name would be waited for in vain. */
function isAtGoogle(): boolean {
  try {
    return readFileSync("/sys/class/dmi/id/product_name", "utf8").startsWith("Google");
  } catch {
    return false;
  }
}

/** What makes the headers that authorize requests. */
export function signerFor(
  credentials: GoogleCredentials,
): (request: SignableRequest) => Promise<Readonly<Record<string, string>>> {
  // Buckets may be anywhere: their region is called auto.
  if (credentials.kind === "hmac") return signerV4(googleWords, credentials, "auto");
  const tokens = new TokenSource(credentials);
  return async ({ headers }) => ({ ...headers, authorization: `Bearer ${await tokens.token()}` });
}
