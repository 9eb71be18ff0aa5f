"""What is chance is said of each domain, too, where there are several."""

from mmssl.experiments.chance import by_domain


def run(scores):
    return [
        (
            [
                {'domain': domain, 'case': f'{domain}{i}', 'volume': f'{domain}{i}', 'name': str(i),
                 'scores': {'unet': {'lung': {'DSC': value + i % 3}}}}
                for domain, value in scores.items()
                for i in range(12)
            ],
            'unet',
        )
    ]  # fmt: skip


def test_a_method_may_be_best_on_one_domain_alone():
    methods = {'one': run({'A': 90.0, 'B': 70.0}), 'two': run({'A': 80.0, 'B': 75.0})}
    found = by_domain(methods, 'DSC')
    assert list(found) == ['A', 'B'] and [one.best for one in found.values()] == ['one', 'two']
    assert found['B'].line('B') == 'On B alone two is best; behind by more than chance one.'
    level = {name: run({'A': 90.0, 'B': 70.0}) for name in ('one', 'two')}
    assert by_domain(level, 'DSC')['A'].line('A').endswith('within chance of it two.')


def test_one_domain_has_no_line_of_its_own():
    assert by_domain({'one': run({'A': 90.0})}, 'DSC') == {}
