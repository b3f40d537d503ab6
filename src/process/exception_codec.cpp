// SPDX-License-Identifier: MIT
#include "process/exception_codec.hpp"

#include <cadre/register_exception.hpp>

#include <cxxabi.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <ios>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>
#include <vector>

#include "base/symbols.hpp"
#include "base/what_of.hpp"
#include "process/class_type_info.hpp"
#include "process/known_exceptions.hpp"
#include "sync/mutex.hpp"

// An exception as bytes: its origin; how many are nested in one another; then each, innermost
// first, because the outer ones are made while the inner one is being handled:
//
//     type      the mangled name of a known or registered type, that of the exception or of a base of
//               it; empty for all others
//     readable  the name of the exception's own type, for people, and its message
//     body      so many bytes, from the type's own function

namespace cadre::detail {
namespace {

// Deeper: stranger chains arrive whole. Less deep: less work for who sends endless ones.
constexpr std::size_t max_chain = 16;

// Longer: more of unusual texts. Shorter: a surer fit when there is little room.
constexpr std::size_t short_text = 256;

// --- the registry ---

struct registry {
  sync::mutex mutex;
  std::vector<exception_type> types;
};

registry& registered() {
  static auto* const all = new registry;  // never destroyed: calls may end after main()
  return *all;
}

bool has_name(const exception_type& entry, std::string_view name) {
  return name == entry.type->name();
}

std::optional<exception_type> find_type(std::string_view name) {
  for (const exception_type& entry : known_exceptions()) {
    if (has_name(entry, name)) return entry;
  }
  registry& all = registered();
  const std::lock_guard lock{all.mutex};
  for (const exception_type& entry : all.types) {
    if (has_name(entry, name)) return entry;
  }
  return std::nullopt;
}

// --- what was thrown ---

/// The type that the user threw: without what std::throw_with_nested() or carry() put around it.
const std::type_info& kept_type(const std::type_info& type) {
  const std::string_view name{type.name()};
  if (name == "St13__ios_failure") return typeid(std::ios_base::failure);  // what streams throw
  if (name.starts_with("St17_Nested_exceptionI") || name.starts_with("N5cadre6detail7carriedI") ||
      name.starts_with("N5cadre6detail14carried_nestedI")) {
    if (const auto* around = dynamic_cast<const abi::__vmi_class_type_info*>(&type)) {
      return kept_type(*around->__base_info[0].__base_type);
    }
  }
  return type;
}

struct thrown_value {
  const std::type_info* type = nullptr;
  std::string readable = {};  // the same for people
  std::string message = {};
  std::exception_ptr nested = nullptr;
};

thrown_value look_at(const std::exception_ptr& e) {
  thrown_value value;
  try {
    std::rethrow_exception(e);
  } catch (...) {
    if (const std::type_info* type = abi::__cxa_current_exception_type()) {
      value.type = &kept_type(*type);
      value.readable = demangle(value.type->name());
    } else {
      value.readable = "an exception of another language";
    }
    if (const remote_origin* earlier = origin_of(e)) value.readable = earlier->thrown_type;
    try {
      throw;
    } catch (const std::nested_exception& outer) {
      value.nested = outer.nested_ptr();
    } catch (...) {  // nothing is nested in it
    }
    try {
      throw;
    } catch (const std::exception& known) {
      value.message = text_of(known.what());
    } catch (const std::string& text) {
      value.message = text;
    } catch (const char* text) {  // also of `throw nullptr`
      value.message = text_of(text);
    } catch (...) {  // it has nothing to say
    }
  }
  return value;
}

remote_origin here(std::string_view call_name, std::vector<stack_frame> frames) {
  char host[HOST_NAME_MAX + 1] = {};
  ::gethostname(host, sizeof host - 1);
  remote_origin origin;
  origin.host = host;
  origin.pid = ::getpid();
  origin.call = call_name;
  origin.frames = std::move(frames);
  return origin;
}

// --- encoding ---

void put_origin(encoder& out, const remote_origin& origin) {
  put(out, origin.host);
  put(out, origin.pid);
  put(out, origin.call);
  put(out, origin.frames);
}

void put_head(encoder& out, const std::string& type, const thrown_value& value) {
  put(out, type);
  put(out, value.readable);
  put(out, value.message);
}

void put_remote(encoder& out, const thrown_value& value) {
  put_head(out, {}, value);
  out.write(std::uint64_t{0});
}

/// `type` and its public bases, the nearest first. Not std::exception, which would tell less than a
/// remote_error does, unless it is the type itself.
std::vector<const std::type_info*> with_bases(const std::type_info* type) {
  constexpr std::size_t most = 64;
  std::vector<const std::type_info*> all;
  if (type != nullptr) all.push_back(type);
  for (std::size_t i = 0; i < all.size() && all.size() < most; ++i) {
    if (const auto* one = dynamic_cast<const abi::__si_class_type_info*>(all[i])) {
      all.push_back(one->__base_type);
    } else if (const auto* several = dynamic_cast<const abi::__vmi_class_type_info*>(all[i])) {
      for (unsigned b = 0; b < several->__base_count; ++b) {
        const auto& base = several->__base_info[b];
        if (base.__is_public_p()) all.push_back(base.__base_type);
      }
    }
  }
  if (!all.empty()) {
    all.erase(std::remove_if(all.begin() + 1, all.end(),
                             [](const auto* base) { return *base == typeid(std::exception); }),
              all.end());
  }
  return all;
}

/// A body of more than `most` bytes is left out.
void put_one(encoder& out, const std::exception_ptr& e, const thrown_value& value,
             std::size_t most) {
  const std::size_t mark = out.size();
  try {
    for (const std::type_info* as : with_bases(value.type)) {
      const auto type = find_type(as->name());
      encoder body{most};
      if (!type || !type->encode(*type, body, e)) continue;
      put_head(out, as->name(), value);
      out.write(std::uint64_t{body.size()});
      out.write(body.bytes().data(), body.size());
      return;
    }
  } catch (...) {  // a user's function threw, or there is no room: then without it
    out.truncate(mark);
  }
  put_remote(out, value);
}

}  // namespace

bool add_exception_type(const exception_type& entry) {
  registry& all = registered();
  const std::lock_guard lock{all.mutex};
  std::erase_if(all.types, [&](const auto& old) { return has_name(old, entry.type->name()); });
  all.types.push_back(entry);
  return true;
}

void encode_exception(encoder& out, const std::exception_ptr& e, std::string_view call_name,
                      std::vector<stack_frame> frames, std::size_t most) {
  std::vector<std::pair<std::exception_ptr, thrown_value>> chain;
  for (auto next = e; next && chain.size() < max_chain; next = chain.back().second.nested) {
    chain.emplace_back(next, look_at(next));
  }
  const remote_origin* earlier = origin_of(e);  // it came from a third process
  try {
    encoder whole{most};
    put_origin(whole, earlier != nullptr ? *earlier : here(call_name, std::move(frames)));
    whole.write(static_cast<unsigned char>(chain.size()));
    for (auto link = chain.rbegin(); link != chain.rend(); ++link) {
      put_one(whole, link->first, link->second, most);
    }
    out.write(whole.bytes().data(), whole.size());
  } catch (const codec_error&) {  // too large
    thrown_value brief = chain.front().second;
    brief.readable.resize(std::min(brief.readable.size(), short_text));
    brief.message.resize(std::min(brief.message.size(), short_text));
    put_origin(out, here(call_name.substr(0, short_text), {}));
    out.write(static_cast<unsigned char>(1));
    put_remote(out, brief);
  }
}

// --- decoding ---

namespace {

remote_origin take_origin(decoder& in) {
  remote_origin origin;
  origin.host = take<std::string>(in);
  origin.pid = take<int>(in);
  origin.call = take<std::string>(in);
  origin.frames = take<std::vector<stack_frame>>(in);
  return origin;
}

/// Null if a user's function did not make one.
std::exception_ptr take_body(const exception_type& type, decoder& body, const arrival& how) {
  try {
    auto e = type.decode(type, body, how);
    body.finish();
    return e;
  } catch (...) {
    if (type.user_decode == nullptr) throw;  // the bytes are damaged
    return nullptr;
  }
}

/// In a handler for the exception that it nests, if it does.
std::exception_ptr take_one(decoder& in, remote_origin origin, bool nests) {
  const auto type_name = take<std::string>(in);
  auto readable = take<std::string>(in);
  auto message = take<std::string>(in);
  decoder body{in.take(in.read_count(1))};
  origin.thrown_type = readable;
  if (const auto type = find_type(type_name)) {
    if (auto e = take_body(*type, body, {origin, message, nests})) return e;
  }
  return carry(remote_error{std::move(readable), std::move(message), origin}, origin, nests);
}

}  // namespace

std::exception_ptr decode_exception(decoder& in) {
  const remote_origin origin = take_origin(in);
  const auto count = in.read<unsigned char>();
  if (count == 0 || count > max_chain) in.fail("an exception nests impossibly many others");
  std::exception_ptr e = take_one(in, origin, false);
  for (unsigned i = 1; i < count; ++i) {
    try {
      std::rethrow_exception(e);
    } catch (...) {
      e = take_one(in, origin, true);
    }
  }
  return e;
}

}  // namespace cadre::detail
