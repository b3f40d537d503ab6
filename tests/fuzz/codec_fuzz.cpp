// SPDX-License-Identifier: MIT
// Any bytes, as a value of any of the types of support/codec_samples.hpp, and as an exception: they
// give a codec_error, or a value that encodes and decodes again to the same bytes.
#include <cadre/codec.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "process/exception_codec.hpp"
#include "support/codec_samples.hpp"

namespace {

using namespace cadre;
using namespace cadre::test;

// The first byte of an input chooses the type: the samples in their order, then an exception.
constexpr std::uint8_t as_exception = 255;

// Between decoding and decoding, sets lose doubles; after that, nothing may change.
template <typename T>
void try_as(std::span<const std::byte> bytes) {
  std::vector<std::byte> once;
  try {
    once = encoded(decoded<T>(bytes));
  } catch (const codec_error&) {
    return;
  }
  const auto twice = encoded(decoded<T>(once));
  if (twice.size() != once.size()) {
    std::fprintf(stderr, "%s changes\n", std::string{detail::type_name<T>()}.c_str());
    std::abort();
  }
}

void try_as_exception(std::span<const std::byte> bytes) {
  try {
    decoder in{bytes};
    const auto e = detail::decode_exception(in);
    encoder out;
    detail::encode_exception(out, e, "again");
    decoder again{out.bytes()};
    detail::decode_exception(again);
    again.finish();
  } catch (const codec_error&) {
  }
}

void write_seed(const std::string& folder, std::uint8_t index, std::span<const std::byte> bytes) {
  std::ofstream file{folder + "/seed_" + std::to_string(index), std::ios::binary};
  file.put(static_cast<char>(index));
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

void write_seeds(const std::string& folder) {
  std::uint8_t index = 0;
  visit_samples([&](const auto& value) { write_seed(folder, index++, encoded(value)); });
  encoder out;
  try {
    try {
      throw std::out_of_range{"inner"};
    } catch (...) {
      std::throw_with_nested(std::runtime_error{"outer"});
    }
  } catch (...) {
    detail::encode_exception(out, std::current_exception(), "call", {{"a.so", 16}});
  }
  write_seed(folder, as_exception, out.bytes());
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  constexpr std::string_view option = "--seeds=";
  for (int i = 1; i < *argc; ++i) {
    const std::string_view argument{(*argv)[i]};
    if (argument.starts_with(option)) write_seeds(std::string{argument.substr(option.size())});
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span{data + 1, size - 1});
  if (data[0] == as_exception) {
    try_as_exception(bytes);
    return 0;
  }
  std::uint8_t index = 0;
  visit_samples([&](const auto& value) {
    if (index++ == data[0]) try_as<std::remove_cvref_t<decltype(value)>>(bytes);
  });
  return 0;
}
