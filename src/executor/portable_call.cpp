// SPDX-License-Identifier: MIT
#include <cadre/detail/atomic.hpp>
#include <cadre/detail/portable_call.hpp>

#include <stdexcept>

namespace cadre::detail {
namespace {

constinit sync::atomic<const code_map*> installed{nullptr};

const code_map& map() {
  // acquire: pairs with the release in set_code_map().
  if (const code_map* m = installed.load(std::memory_order_acquire)) return *m;
  throw std::logic_error{"codec: functions cross only between a pool and its worker processes"};
}

}  // namespace

void set_code_map(const code_map& map) noexcept {
  // release: pairs with the acquire in map().
  installed.store(&map, std::memory_order_release);
}

void encode_function(encoder& out, const void* function) { map().encode(out, function); }
void* decode_function(decoder& in) { return map().decode(in); }

}  // namespace cadre::detail
