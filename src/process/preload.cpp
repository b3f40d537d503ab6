// SPDX-License-Identifier: MIT
#include "process/preload.hpp"

#include <cadre/codec.hpp>
#include <cadre/detail/portable_call.hpp>

#include <cstdint>
#include <exception>
#include <stdexcept>
#include <stop_token>
#include <utility>
#include <vector>

#include "base/what_of.hpp"
#include "process/code.hpp"
#include "process/module_table.hpp"
#include "process/worker_process.hpp"

namespace cadre::process {
namespace {

/// Pools of the same preload share a zygote, so nothing in it is of one pool only.
struct preload_argument {
  std::vector<module_description> modules;  // all that the addresses name
  code_address descriptor;
  std::uint64_t type = 0;
  std::vector<std::byte> arguments;
};

}  // namespace

void encode_preload(encoder& out, worker_function& preload) {
  encoder arguments;
  preload.encode(arguments);
  module_table& table = module_table::instance();
  preload_argument all;
  all.descriptor = table.locate(preload.descriptor());
  all.type = preload.descriptor()->type;
  all.arguments.assign(arguments.bytes().begin(), arguments.bytes().end());
  for (std::uint32_t i = 0; i < table.module_count(); ++i) all.modules.push_back(table.describe(i));
  encode(out, all);
}

void run_preload(std::span<const std::byte> argument) {
  // Functions among the arguments of the preload may be kept, and come from modules that it names.
  static module_resolver& modules = *new module_resolver;
  decoder in{argument};
  auto all = decode<preload_argument>(in);
  for (std::uint32_t i = 0; i < all.modules.size(); ++i)
    modules.learn(i, std::move(all.modules[i]));
  install_crossings();
  decode_functions_with(modules);
  const auto& what = *static_cast<const detail::call_descriptor*>(modules.object(
      all.descriptor, sizeof(detail::call_descriptor), alignof(detail::call_descriptor)));
  if (what.magic != detail::call_descriptor::expected_magic || what.type != all.type) {
    throw std::runtime_error{
        "this program was changed after it was started, and has other code where its preload "
        "should "
        "be: start it again"};
  }
  try {
    decoder arguments{all.arguments};
    encoder nothing;
    what.run(arguments, nothing, {});
  } catch (...) {
    const std::exception_ptr thrown = std::current_exception();
    if (!thrown)
      end_process(exits_thread_ended);  // nobody can stop that: the C library would abort
    throw std::runtime_error{"the preload of the pool threw \"" + detail::what_of(thrown) + '"'};
  }
}

}  // namespace cadre::process
