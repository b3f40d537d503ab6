// SPDX-License-Identifier: MIT
// expect: cadre: a value contains a type that has no codec; make it a struct of values
// names: std::shared_ptr<std::vector<int
#include <cadre/executor.hpp>

#include <memory>
#include <vector>

int sum(const std::vector<int>& values);

void use(cadre::executor& any, std::vector<int> values) {
#ifdef CADRE_MUST_FAIL
  any.submit([](std::shared_ptr<std::vector<int>> shared) { return sum(*shared); },
             std::make_shared<std::vector<int>>(std::move(values)));
#else
  static_cast<void>(any.submit([](std::unique_ptr<std::vector<int>> own) { return sum(*own); },
                               std::make_unique<std::vector<int>>(std::move(values))));
#endif
}
