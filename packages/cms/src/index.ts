/**
 * CMS signatures (PKCS#7), Authenticode content, X.509 certificates: DER in, DER out.
 * @module
 */
export * from "./authenticode.ts";
export * from "./certificate.ts";
export * from "./signed-data.ts";
export * from "./self-signed.ts";
