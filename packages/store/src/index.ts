/**
 * Chunk stores: one interface, one driver per file; compression of chunks.
 * @module
 */
export { CachedStore, type CachedStoreOptions } from "./cached-store.ts";
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
export { isSealedChunk, isSealedIndex, StoreCipher } from "./encrypted/cipher.ts";
export { encryptStore } from "./encrypted/encrypted-store.ts";
export {
  formatStoreKey,
  generateStoreKey,
  type Padding,
  paddings,
  readStoreKey,
  type StoreKey,
} from "./encrypted/key.ts";
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
export { isFailoverGroup } from "./failover.ts";
export * from "./open.ts";
export { type Channel, type Connect, type RemoteFiles } from "./remote/connection.ts";
export { type Announcement, announcePeer, type AnnounceOptions } from "./peers/announce.ts";
export { peerCheck, type PeerCheckOptions } from "./peers/check.ts";
export { type PeerAddress, PeerFinder } from "./peers/find-peers.ts";
export { HeldIndexFiles } from "./peers/held-indexes.ts";
export { type PeerSource, PeerStore, type PeerStoreOptions } from "./peers/peer-store.ts";
export { indexDigest, peerStorePath } from "./peers/service.ts";
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
export { openRangedFile, type RangedFile } from "./ranged-file.ts";
export { RateLimit } from "./rate-limit.ts";
export type { AzureCredentials } from "./azure-credentials.ts";
export { type AzureStoreOptions, openAzureStore } from "./azure.ts";
export type { HttpObjectStore } from "./http-object-store.ts";
export type { FtpCredentials } from "./ftp/credentials.ts";
export { type FtpStoreOptions, openFtpStore } from "./ftp/store.ts";
export type { GoogleCredentials } from "./google-credentials.ts";
export { type OciStoreOptions, openOciStore } from "./oci/store.ts";
export type { RegistryCredentials } from "./oci/credentials.ts";
export { type GsStoreOptions, openGsStore } from "./gs.ts";
export { openS3Store, type S3Credentials, type S3StoreOptions } from "./s3.ts";
export { openSftpStore, type SftpStoreOptions } from "./sftp/store.ts";
export {
  fetchStoredFile,
  isStoredFile,
  copyStoredFile,
  storedFileBelow,
  type StoredFileOptions,
  writeStoredFile,
} from "./stored-file.ts";
export { openWebDavStore } from "./webdav.ts";
export { openChunk, readChunk, readStoredChunk } from "./read-chunk.ts";
export { type DirectoryServer, type ServeOptions, type ServedRequest, serveDirectory } from "./serve.ts";
export { parseWriters, type Writers } from "./serve-writers.ts";
export * from "./store.ts";
export { setStoreAccess, type StoreAccess, withStoreAccess } from "./store-access.ts";
export { limitTime } from "./time-limit.ts";
