/** The part of CharLS' WebAssembly build that is used; the package has no types. */
declare module "@cornerstonejs/codec-charls/decodewasmjs" {
  interface JpegLSDecoder {
    /** A view into the module's memory to write the frame to. */
    getEncodedBuffer(length: number): Uint8Array;
    /** Throws a number, the address of a C++ exception. */
    decode(): void;
    /** A view into the module's memory. */
    getDecodedBuffer(): Uint8Array;
    getFrameInfo(): { width: number; height: number; bitsPerSample: number; componentCount: number };
    /** 0: plane after plane; 1, 2: pixel by pixel. */
    getInterleaveMode(): number;
    delete(): void;
  }
  interface CharlsModule {
    readonly JpegLSDecoder: new () => JpegLSDecoder;
  }
  const load: (options: {
    wasmBinary: Uint8Array;
    print: (text: string) => void;
    printErr: (text: string) => void;
  }) => Promise<CharlsModule>;
  export default load;
}
