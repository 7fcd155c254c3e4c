/**
 * The keys of a project: read, and checked to fit their certificates before anything is built.
 * @module
 */
import { readFile } from "node:fs/promises";
import type { Signer } from "@imgtool/cms";
import { makeSigner } from "@imgtool/cms/node";
import type { ImageConfig } from "@imgtool/config";
import { errorMessage, NotFoundError, type Progress } from "@imgtool/core";

/**
 * What signs root hashes, or undefined where the project has no key for it.
 * @throws as loadSigner
 */
export async function veritySigner(config: ImageConfig, progress: Progress): Promise<Signer | undefined> {
  const { verityKey: key, verityCertificate: certificate } = config;
  // Whoever signs later has another key, or has it elsewhere.
  if (config.verity === "defer") return undefined;
  if (key === undefined || certificate === undefined) return undefined;
  return await loadSigner(key, certificate, progress);
}

/**
 * What signs what firmware loads, or undefined without SecureBoot=.
 * @throws as loadSigner
 */
export async function secureBootSigner(config: ImageConfig, progress: Progress): Promise<Signer | undefined> {
  const { secureBoot, secureBootKey: key, secureBootCertificate: certificate } = config;
  if (!secureBoot || key === undefined || certificate === undefined) return undefined;
  return await loadSigner(key, certificate, progress);
}

/**
 * What signs the TPM measurements of unified kernel images, or undefined where they are not signed.
 * @throws as loadSigner
 */
export async function pcrSigner(
  { signExpectedPcr: files }: ImageConfig,
  progress: Progress,
): Promise<Signer | undefined> {
  return files === undefined ? undefined : await loadSigner(files.key, files.certificate, progress);
}

/**
 * A signer from two files; warns when the certificate is not valid today.
 * @throws NotFoundError `key-not-found`; what makeSigner throws
 */
export async function loadSigner(keyName: string, certificateName: string, progress: Progress): Promise<Signer> {
  const [key, certificate] = await Promise.all([keyName, certificateName].map(readKeyFile));
  const signer = makeSigner({
    key: key as Buffer,
    certificate: certificate as Buffer,
    keyName,
    certificateName,
  });
  const { notBefore, notAfter } = signer.certificate;
  if (Date.now() > notAfter) progress.log("warning", `${certificateName} expired on ${day(notAfter)}`);
  if (Date.now() < notBefore) progress.log("warning", `${certificateName} is not valid before ${day(notBefore)}`);
  return signer;
}

function day(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

async function readKeyFile(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new NotFoundError(`cannot read ${path}: ${errorMessage(error)}`, {
      code: "key-not-found",
      hint: "make a key and its certificate with: imgtool genkey",
      data: { path },
      cause: error,
    });
  }
}
