// SPDX-License-Identifier: MIT
#include "process/code.hpp"

#include <cadre/detail/portable_call.hpp>

#include <stdexcept>

#include "process/exception_codec.hpp"

namespace cadre::process {
namespace {

constinit module_resolver* resolver_here = nullptr;  // written before there are calls

void encode(encoder& out, const void* function) {
  const code_address where = module_table::instance().locate(function);
  out.write(where.module);
  out.write(where.offset);
}

void* decode(decoder& in) {
  code_address where;
  where.module = in.read<std::uint32_t>();
  where.offset = in.read<std::uint64_t>();
  if (resolver_here == nullptr) {
    throw std::logic_error{"codec: a function arrived in a process that is no worker"};
  }
  return resolver_here->function(where);
}

void encode_error(encoder& out, const std::exception_ptr& e) {
  detail::encode_exception(out, e, {});
}

constexpr detail::crossings how{&encode, &decode, &encode_error, &detail::decode_exception};

}  // namespace

void install_crossings() { detail::install(how); }

void decode_functions_with(module_resolver& resolver) {
  resolver_here = &resolver;
  install_crossings();
}

}  // namespace cadre::process
