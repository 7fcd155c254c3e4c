/**
 * Chunk stores: one interface, one driver per file; compression of chunks.
 * @module
 */
export * from "./chunk-path.ts";
export {
  type Codec,
  type Compression,
  compressChunk,
  compressionLevel,
  compressions,
  decompressChunk,
  sniffCodec,
} from "./codecs.ts";
export { decompressStream } from "./codec-streams.ts";
export * from "./digest.ts";
export { type HttpStore, type HttpStoreOptions, openHttpStore } from "./http.ts";
export {
  type FetchOptions,
  fetchBytes,
  fetchFile,
  HttpClient,
  type HttpClientOptions,
  type HttpStatistics,
} from "./http-client.ts";
export type { RetryOptions } from "./http-retry.ts";
export { isHttpUrl, parseHttpUrl } from "./http-target.ts";
export * from "./limits.ts";
export { SyncLocalStore, type SyncLocalStoreOptions } from "./local-files.ts";
export { refreshAge } from "./local-refresh.ts";
export { type LocalStoreOptions, openLocalStore } from "./local.ts";
export * from "./open.ts";
export { type Channel, type Connect, type RemoteFiles } from "./remote/connection.ts";
export { pullArchive, pullIndex } from "./remote/pull.ts";
export {
  pushArchive,
  type PushArchiveOptions,
  type PushedIndex,
  pushIndex,
  type PushIndexOptions,
} from "./remote/push.ts";
export { openRemoteStore, openSshStore } from "./remote/remote-store.ts";
export { servePull, type ServePullOptions } from "./remote/serve-pull.ts";
export { servePush, type ServePushOptions } from "./remote/serve-push.ts";
export { sshConnect, type SshOptions } from "./remote/ssh-channel.ts";
export { isSshLocation, parseSshLocation, sameRemote, type SshLocation } from "./remote/ssh-location.ts";
export { streamChannel } from "./remote/stream-channel.ts";
export { RateLimit } from "./rate-limit.ts";
export { fetchS3Object, openS3Store, type S3Credentials, type S3Store, type S3StoreOptions } from "./s3.ts";
export { isSftpLocation } from "./sftp/location.ts";
export { fetchSftpFile, openSftpStore, type SftpStoreOptions } from "./sftp/store.ts";
export { isS3Location } from "./s3-location.ts";
export { openChunk, readChunk, readStoredChunk } from "./read-chunk.ts";
export { type DirectoryServer, type ServeOptions, type ServedRequest, serveDirectory } from "./serve.ts";
export * from "./store.ts";
