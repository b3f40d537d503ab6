// SPDX-License-Identifier: MIT
#include <cadre/detail/atomic.hpp>
#include <cadre/detail/portable_call.hpp>

#include <stdexcept>

namespace cadre::detail {
namespace {

constinit sync::atomic<const crossings*> installed{nullptr};

}  // namespace

void install(const crossings& how) noexcept {
  // release: pairs with the acquire in installed_crossings().
  installed.store(&how, std::memory_order_release);
}

const crossings& installed_crossings() {
  // acquire: pairs with the release in install().
  if (const crossings* how = installed.load(std::memory_order_acquire)) return *how;
  throw std::logic_error{"codec: calls cross only between a pool and its worker processes"};
}

void throw_lent_call() {
  throw std::logic_error{
      "cadre: an executor that runs calls elsewhere must encode each before do_enqueue() returns; "
      "it "
      "ran one itself, whose arguments were only lent"};
}

}  // namespace cadre::detail
