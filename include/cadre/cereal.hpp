// SPDX-License-Identifier: MIT
// Lets whatever the cereal library can archive cross between processes.
//
//     #include <cadre/cereal.hpp>
//     #include <cereal/types/memory.hpp>      // shared_ptr, and what it shares
//
//     processes.submit(&render, std::make_shared<scene>());
//
// Only types that cadre's own codec does not take go this way. So a struct that has both a
// serialize() member and only values needs neither this header nor cereal.
//
// Requires   cereal 1.3 (https://uscilab.github.io/cereal), and a default constructor.
// Errors     codec_error, also for what cereal::Exception says. As with the codec, counts are
//            believed only as far as bytes are left, a bool is checked, and depth is limited. What
//            a serialization function of cereal or of yours does with a number that it has read is
//            not in our hands.
#pragma once

#include <cadre/codec.hpp>

#include <cereal/cereal.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>

namespace cadre::detail {

// cereal nests several of its own values in each of the user's.
inline constexpr unsigned max_cereal_depth = 5 * max_codec_depth;

class cereal_output : public cereal::OutputArchive<cereal_output, cereal::AllowEmptyClassElision> {
 public:
  explicit cereal_output(encoder& out) : OutputArchive{this}, out_{out} {}

  void save_bytes(const void* data, std::size_t size) { out_.write(data, size); }
  void enter() {
    if (++depth_ > max_cereal_depth) throw cereal::Exception{"values nest too deep"};
  }
  void leave() { --depth_; }

 private:
  encoder& out_;
  unsigned depth_ = 0;
};

class cereal_input : public cereal::InputArchive<cereal_input, cereal::AllowEmptyClassElision> {
 public:
  explicit cereal_input(decoder& in) : InputArchive{this}, in_{in} {}

  void load_bytes(void* to, std::size_t size) { in_.read(to, size); }
  bool load_bool() { return take<bool>(in_); }
  std::size_t load_count() { return in_.read_count(1); }
  void enter() {
    if (++depth_ > max_cereal_depth) throw cereal::Exception{"values nest too deep"};
    nesting<decoder>::check_stack(in_);
  }
  void leave() { --depth_; }

 private:
  decoder& in_;
  unsigned depth_ = 0;
};

// What cereal finds by the archive's type. The first two are called around each value.

template <typename T>
void prologue(cereal_output& archive, const T&) {
  archive.enter();
}
template <typename T>
void epilogue(cereal_output& archive, const T&) {
  archive.leave();
}
template <typename T>
void prologue(cereal_input& archive, const T&) {
  archive.enter();
}
template <typename T>
void epilogue(cereal_input& archive, const T&) {
  archive.leave();
}

template <typename T>
  requires std::is_arithmetic_v<T>
void CEREAL_SAVE_FUNCTION_NAME(cereal_output& archive, const T& value) {
  archive.save_bytes(&value, sizeof value);
}
template <typename T>
  requires std::is_arithmetic_v<T>
void CEREAL_LOAD_FUNCTION_NAME(cereal_input& archive, T& value) {
  if constexpr (std::same_as<T, bool>) {
    value = archive.load_bool();
  } else {
    archive.load_bytes(&value, sizeof value);
  }
}

template <typename T>
void CEREAL_SAVE_FUNCTION_NAME(cereal_output& archive, const cereal::NameValuePair<T>& pair) {
  archive(pair.value);
}
template <typename T>
void CEREAL_LOAD_FUNCTION_NAME(cereal_input& archive, cereal::NameValuePair<T>& pair) {
  archive(pair.value);
}

// Containers are resized to it before their elements are read. Elements without any bytes would
// make it larger than what is left: as each of cadre's elements, they need one.
template <typename T>
void CEREAL_SAVE_FUNCTION_NAME(cereal_output& archive, const cereal::SizeTag<T>& count) {
  const std::uint64_t number = count.size;
  archive.save_bytes(&number, sizeof number);
}
template <typename T>
void CEREAL_LOAD_FUNCTION_NAME(cereal_input& archive, cereal::SizeTag<T>& count) {
  count.size = static_cast<std::remove_reference_t<T>>(archive.load_count());
}

template <typename T>
void CEREAL_SAVE_FUNCTION_NAME(cereal_output& archive, const cereal::BinaryData<T>& data) {
  archive.save_bytes(data.data, static_cast<std::size_t>(data.size));
}
template <typename T>
void CEREAL_LOAD_FUNCTION_NAME(cereal_input& archive, cereal::BinaryData<T>& data) {
  archive.load_bytes(data.data, static_cast<std::size_t>(data.size));
}

template <typename T>
concept cereal_only =
    std::is_class_v<T> && kind_of<T> == kind::none && std::default_initializable<T> &&
    cereal::traits::is_output_serializable<T, cereal_output>::value &&
    cereal::traits::is_input_serializable<T, cereal_input>::value;

}  // namespace cadre::detail

CEREAL_REGISTER_ARCHIVE(cadre::detail::cereal_output)
CEREAL_REGISTER_ARCHIVE(cadre::detail::cereal_input)
CEREAL_SETUP_ARCHIVE_TRAITS(cadre::detail::cereal_input, cadre::detail::cereal_output)

namespace cadre {

template <detail::cereal_only T>
struct codec<T> {
  static void encode(encoder& out, const T& value) {
    const detail::nesting level{out, {}};
    try {
      detail::cereal_output archive{out};
      archive(value);
    } catch (const cereal::Exception& e) {
      out.fail(std::string{"cereal says: "} + e.what(), "see the documentation of cereal");
    }
  }
  static T decode(decoder& in) {
    const detail::nesting level{in, {}};
    try {
      T value{};
      detail::cereal_input archive{in};
      archive(value);
      return value;
    } catch (const cereal::Exception& e) {
      in.fail(std::string{"cereal says: "} + e.what());
    }
  }
};

}  // namespace cadre
