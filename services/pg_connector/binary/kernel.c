/* The loops over rows of COPY's binary format that numpy has no single step for.

   `kernel.py` loads this where it was compiled; the same is done with numpy where it was not, and
   the tests hold both to the same answers. Nothing here allocates, keeps state or reads behind
   `size`: what `walk` gives of fields is what the rest may read. */

#include <stdint.h>
#include <string.h>

#if !defined(__SIZEOF_INT128__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "written for 64 bits, little-endian"
#endif

static inline uint32_t be16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

static inline uint32_t be32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return __builtin_bswap32(value);
}

static inline uint64_t be64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return __builtin_bswap64(value);
}

enum { WALKED = 0, OTHER_FIELDS = 1, BAD_LENGTH = 2 };

/* Start and length of each field of the whole rows from `begin` on, at [column * rows + row]; a
   length of -1 = NULL. Without `starts` they are only counted: `found` = how many, where the last
   of them ends, and how long the data must be, at least, for the next. */
int32_t walk(const uint8_t *data, int64_t size, int64_t begin, int32_t columns, int64_t rows,
             int64_t *starts, int64_t *lengths, int64_t *found) {
    int64_t row = 0, end = begin, wanted;
    for (;; row++) {
        int64_t at = end + 2;
        wanted = at;
        if (at > size || (starts && row == rows)) break;
        uint32_t fields = be16(data + end);
        if (fields == 0xffff) { /* the end of all rows */
            wanted = at + 2;
            break;
        }
        if (fields != (uint32_t)columns) return OTHER_FIELDS;
        for (int32_t column = 0; column < columns; column++) {
            wanted = at + 4;
            if (wanted > size) goto done;
            int32_t length = (int32_t)be32(data + at);
            if (length < -1) return BAD_LENGTH;
            at += 4;
            if (starts) {
                starts[column * rows + row] = at;
                lengths[column * rows + row] = length;
            }
            if (length > 0) at += length;
        }
        wanted = at;
        if (at > size) break;
        end = at;
    }
done:
    found[0] = row;
    found[1] = end;
    found[2] = wanted;
    return WALKED;
}

/* Numbers of `width` bytes that begin `at` bytes behind each start, as this machine has them; 0 for
   NULL. No field may be shorter. */
void numbers(const uint8_t *data, const int64_t *starts, const int64_t *lengths, int64_t rows,
             int64_t at, int32_t width, void *out) {
    data += at;
    switch (width) {
    case 1:
        for (int64_t row = 0; row < rows; row++)
            ((uint8_t *)out)[row] = lengths[row] < 0 ? 0 : data[starts[row]];
        break;
    case 2:
        for (int64_t row = 0; row < rows; row++)
            ((uint16_t *)out)[row] = lengths[row] < 0 ? 0 : be16(data + starts[row]);
        break;
    case 4:
        for (int64_t row = 0; row < rows; row++)
            ((uint32_t *)out)[row] = lengths[row] < 0 ? 0 : be32(data + starts[row]);
        break;
    case 8:
        for (int64_t row = 0; row < rows; row++)
            ((uint64_t *)out)[row] = lengths[row] < 0 ? 0 : be64(data + starts[row]);
        break;
    }
}

/* The fields one after the other, and where each begins and the last ends. */
void joined(const uint8_t *data, const int64_t *starts, const int64_t *lengths, int64_t rows,
            int32_t *offsets, uint8_t *out) {
    int32_t at = 0;
    for (int64_t row = 0; row < rows; row++) {
        offsets[row] = at;
        if (lengths[row] <= 0) continue;
        memcpy(out + at, data + starts[row], (size_t)lengths[row]);
        at += (int32_t)lengths[row];
    }
    offsets[rows] = at;
}

enum { FITS = 0, UNFIT = 1, NOT_A_NUMBER = 2, ENDLESS = 3, TOO_SHORT = 4 };

/* numeric as decimal128 of up to 38 digits, `scale` of them behind the point. A value has four
   numbers of two bytes each, then its digits to the base 10,000: how many of them, the power of
   10,000 that the first stands for, sign, scale for display. */
int32_t decimals(const uint8_t *data, const int64_t *starts, const int64_t *lengths, int64_t rows,
                 int32_t precision, int32_t scale, uint8_t *out) {
    static const uint32_t tens[] = {1, 10, 100, 1000, 10000};
    /* what is below limits[n] can be multiplied by 10^n, and no product overflows */
    unsigned __int128 limits[5] = {1};
    for (int32_t digit = 0; digit < precision; digit++) limits[0] *= 10;
    for (int32_t more = 1; more <= 4; more++) limits[more] = limits[0] / tens[more] + 1;
    for (int64_t row = 0; row < rows; row++, out += sizeof(__int128)) {
        unsigned __int128 total = 0;
        int negative = 0;
        if (lengths[row] >= 0) {
            if (lengths[row] < 8) return TOO_SHORT;
            const uint8_t *at = data + starts[row];
            int32_t count = (int16_t)be16(at), weight = (int16_t)be16(at + 2);
            uint32_t sign = be16(at + 4);
            if (sign && sign != 0x4000) return sign > 0xc000 ? ENDLESS : NOT_A_NUMBER;
            negative = sign != 0;
            if (count > 0 && lengths[row] < 8 + 2 * (int64_t)count) return UNFIT;
            /* of this digit's four decimal places so many more are within the scale */
            int32_t left = scale + 4 * weight;
            for (int32_t index = 0; index < count; index++, left -= 4) {
                uint32_t digit = be16(at + 8 + 2 * index);
                int32_t cut = left < 0 ? -left : 0;
                if (digit == 0 && (total == 0 || cut >= 4)) continue;
                if (cut >= 4 || digit > 9999 || digit % tens[cut]) return UNFIT;
                if (total >= limits[4 - cut]) return UNFIT;
                total = total * tens[4 - cut] + digit / tens[cut];
                if (total >= limits[0]) return UNFIT;
            }
            /* zeros that the value ends with are not sent */
            for (left += 4; total && left > 0; left--) {
                if (total >= limits[1]) return UNFIT;
                total *= 10;
            }
            if (total >= limits[0]) return UNFIT;
        }
        if (negative) total = -total;
        memcpy(out, &total, sizeof total);
    }
    return FITS;
}
