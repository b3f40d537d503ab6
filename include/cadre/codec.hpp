// SPDX-License-Identifier: MIT
// codec: how values become bytes and bytes values again, between processes of one program.
//
//     cadre::encoder out;
//     cadre::encode(out, job{.path = "a.csv", .weights = {1, 2, 3}});  // a plain struct: no macro
//     cadre::decoder in{out.bytes()};
//     auto same = cadre::decode<job>(in);
//
// Values     Numbers, enumerations, strings, the containers of the standard library and their adaptors,
//            optional, expected, variant, tuple, pair, array, valarray, bitset, complex, unique_ptr of
//            one object, durations, time points and dates, paths, error codes; structs of up to 32 members; types with a cereal-style serialize(), or save()
//            and load(); and whatever codec<T> is specialised for. See docs/guides/what-crosses.md.
// Not        Pointers, references and views: what they mean stays behind. Nor what shares (a
//            shared_ptr) or hides (std::function, a lambda with captures) its parts.
// Format     That of this very program: no versions, no byte order. Both ends run the same binary.
// Errors     codec_error, for bytes that are no such value and for values above the limits. Bytes
//            are not trusted: each is read once and checked before use. A count is believed only
//            as far as bytes are left, so memory stays in proportion to them. So does time: of hash
//            tables whose keys collide, only small ones are decoded. Nor is a stack used up: large
//            values are made on the heap, and nesting ends before the stack of the thread does.
// Threads    One at a time per encoder or decoder.
// Cost       One memcpy for contiguous numbers and for structs of numbers without padding.
#pragma once

#include <cadre/detail/codec_groups.hpp>
#include <cadre/detail/codec_rules.hpp>
#include <cadre/detail/codec_std.hpp>
#include <cadre/detail/codec_structs.hpp>
#include <cadre/detail/codec_values.hpp>
#include <cadre/encoder.hpp>

namespace cadre {

/// For containers that are not of the standard library but work as those do (value_type, begin, end,
/// size, push_back; key_type or mapped_type and emplace_hint), and have no further state:
/// `template <typename T> struct cadre::codec<ring<T>> : cadre::container_codec<ring<T>> {};`.
template <typename T>
using container_codec = detail::builtin_codec<T, detail::kind::container>;

/// T can cross, both ways, with all that it contains.
template <typename T>
concept encodable = detail::judgement<T>::why == detail::refusal::none;

/// Appends `value`. Throws codec_error, std::bad_alloc, and what a codec<T> of yours throws; then
/// part of it may have been written.
template <typename T>
void encode(encoder& out, const T& value) {
  detail::check_encodable<T>();
  if constexpr (encodable<T>) {
    const detail::nesting level{out, detail::type_name<T>()};
    detail::put(out, value);
  }
}

template <typename T>
T decode(decoder& in) {
  detail::check_encodable<T>();
  if constexpr (encodable<T>) {
    const detail::nesting level{in, detail::type_name<T>()};
    return codec<T>::decode(in);
  } else {
    in.fail("the type cannot cross");
  }
}

}  // namespace cadre
