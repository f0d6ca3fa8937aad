/*
 * What the module exports: a codestream in, its samples out. Nothing is imported, so the module can do nothing but compute.
 * Copyright (c) 2026, the Consilium contributors. 2-clause BSD, see LICENSE.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "openjpeg.h"

#define EXPORT(name) __attribute__((export_name(name)))

static struct {
  uint8_t *bytes;
  size_t length, position;
} input;

static struct {
  uint8_t *bytes;
  size_t length;
} output;

static OPJ_SIZE_T read_input(void *to, OPJ_SIZE_T length, void *user) {
  (void)user;
  const size_t left = input.length - input.position;
  if (left == 0) return (OPJ_SIZE_T)-1;
  const size_t taken = length < left ? length : left;
  memcpy(to, input.bytes + input.position, taken);
  input.position += taken;
  return taken;
}

static OPJ_OFF_T skip_input(OPJ_OFF_T length, void *user) {
  (void)user;
  const size_t left = input.length - input.position;
  if (length < 0 || (uint64_t)length > left) return -1;
  input.position += (size_t)length;
  return length;
}

static OPJ_BOOL seek_input(OPJ_OFF_T position, void *user) {
  (void)user;
  if (position < 0 || (uint64_t)position > input.length) return OPJ_FALSE;
  input.position = (size_t)position;
  return OPJ_TRUE;
}

/* Where to write a codestream of so many bytes, or 0 without memory for it. */
EXPORT("input") uint8_t *begin_input(size_t length) {
  free(input.bytes);
  input.bytes = malloc(length);
  input.length = input.bytes == NULL ? 0 : length;
  input.position = 0;
  return input.bytes;
}

/* Pixel by pixel, in little-endian samples of 1 or 2 bytes. */
static int write_output(const opj_image_t *image, uint32_t bytes_per_sample) {
  const uint32_t components = image->numcomps;
  if (components == 0) return 0;
  const opj_image_comp_t *const first = &image->comps[0];
  for (uint32_t i = 0; i < components; i++) {
    const opj_image_comp_t *const component = &image->comps[i];
    if (component->data == NULL || component->w != first->w || component->h != first->h) return 0;
  }
  const size_t pixels = (size_t)first->w * first->h;
  if (pixels > SIZE_MAX / components / bytes_per_sample) return 0;
  output.length = pixels * components * bytes_per_sample;
  output.bytes = malloc(output.length);
  if (output.bytes == NULL) return 0;
  for (uint32_t i = 0; i < components; i++) {
    const int32_t *const from = image->comps[i].data;
    if (bytes_per_sample == 1) {
      uint8_t *const to = output.bytes + i;
      for (size_t pixel = 0; pixel < pixels; pixel++) to[pixel * components] = (uint8_t)from[pixel];
    } else {
      uint16_t *const to = (uint16_t *)output.bytes + i;
      for (size_t pixel = 0; pixel < pixels; pixel++) to[pixel * components] = (uint16_t)from[pixel];
    }
  }
  return 1;
}

/* Decodes what lies in the input. Returns 1, or 0 for what is no whole codestream or takes too much memory. */
EXPORT("decode") int decode(uint32_t bytes_per_sample) {
  free(output.bytes);
  output.bytes = NULL;
  output.length = 0;
  opj_dparameters_t parameters;
  opj_set_default_decoder_parameters(&parameters);
  opj_image_t *image = NULL;
  opj_codec_t *const codec = opj_create_decompress(OPJ_CODEC_J2K);
  opj_stream_t *const stream = opj_stream_create(1 << 16, OPJ_TRUE);
  int is_decoded = 0;
  if (codec != NULL && stream != NULL) {
    opj_stream_set_read_function(stream, read_input);
    opj_stream_set_skip_function(stream, skip_input);
    opj_stream_set_seek_function(stream, seek_input);
    opj_stream_set_user_data(stream, &input, NULL);
    opj_stream_set_user_data_length(stream, input.length);
    is_decoded = opj_setup_decoder(codec, &parameters) && opj_read_header(stream, codec, &image) &&
                 opj_decode(codec, stream, image) && opj_end_decompress(codec, stream) &&
                 write_output(image, bytes_per_sample);
  }
  opj_image_destroy(image);
  opj_stream_destroy(stream);
  opj_destroy_codec(codec);
  return is_decoded;
}

/* The samples of the last image. */
EXPORT("output") const uint8_t *output_bytes(void) { return output.bytes; }
EXPORT("output_length") size_t output_length(void) { return output.length; }
