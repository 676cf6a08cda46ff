"""The Bicep checker on small texts: what the language allows passes, what it does not is named."""

from textwrap import dedent

import pytest

SOUND = {
    "loops": """
        param names string[] = ['a', 'b']
        var pairs = [for (name, i) in names: { name: name, place: i }]
        @batchSize(1)
        resource identities 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = [for pair in pairs: {
          name: 'id-${pair.name}-${pair.place}'
          location: resourceGroup().location
        }]
        output first string = identities[0].properties.clientId
        output all array = [for i in range(0, 2): identities[i].id]
        """,
    "conditional items of a loop": """
        targetScope = 'subscription'
        param them array
        resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = [for (it, i) in them: if (i > 0) {
          name: it.name
          location: 'westeurope'
        }]
        """,
    "what may be null": """
        param subject string?
        param tags { owner: string } = { owner: 'me' }
        resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = if (subject != null) {
          name: subject ?? 'nobody'
          location: 'westeurope'
          tags: empty(tags.owner) ? null : tags
        }
        output one string = identity!.properties.clientId
        output other string? = identity.?properties.clientId
        """,
    "types of one's own": """
        type size = 'small' | 'large'
        param first size = 'small'
        param second size[] = ['large']
        param third (1 | 2)?
        var one = second[0]
        output given array = [first, one, third]
        """,
    "strings": """
        param name string
        var quoted = 'it\\'s ${toUpper('the ${name}')} \\${not}'
        var long = '''
          ${as} it 'stands'
        '''
        output both string = '${quoted}${long}'
        """,
    "objects and operators": """
        param count int = 2
        var object = {
          'a b': 1
          '${count}': { inner: true } // any name
        }
        output sum int = (count + 3) * -count % 2
        output yes bool = !(count >= 2) || count != 3 && contains(object, 'a')
        output one int = object['a b']
        output text string = count > 1 ? 'many' : count == 1 ? 'one' : 'none'
        """,
    "names of any kind, all with values of one": """
        param tags { *: string } = { project: 'digits' }
        param both { size: int, *: string }
        output project string = tags.project
        output size int = both.size
        """,
    "a rule of the linter switched off for a line": """
        param name string
        resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
          #disable-next-line no-hardcoded-location // a reason
          location: 'westeurope'
          name: name
        }
        """,
    "an extension of a resource, and what is there already": """
        param account string
        resource storage 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
          scope: resourceGroup('other')
          name: account
        }
        resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' = {
          name: '${account}/default'
          dependsOn: [storage]
        }
        output key string = storage.listKeys().keys[0].value
        output end string = storage.properties.primaryEndpoints.blob
        output id string = blobs.id
        """,
}

FAULTY = {
    "a name of a loop outside it": ("var all = [for a in [1]: a]\noutput x array = [all, a]", "2: 'a' is not defined"),
    "a loop over no array": ("output x array = [for a in 'abc': a]", "1: a loop goes over an array, not over 'abc'"),
    "an index that is a name": ("param a string[]\noutput x string = a['b']", "2: the index of an array: expected int"),
    "an unknown key": ("var a = { b: 1 }\noutput x int = a['c']", "2: 'a' has no property 'c'"),
    "a default of what may be null": (
        "param third (1 | 2)? = null\noutput x bool = third == null",
        "1: the nullable parameter 'third' takes no default",
    ),
    "a value of the wrong kind under any name": (
        "param tags { *: string } = { project: 1 }",
        "1: project: expected string, got 1",
    ),
    "null where there must be something": (
        "param a string?\noutput x string = a",
        "2: output 'x': may be null, where string is expected",
    ),
    "a sum of strings": ("output x int = 'a' + 1", "1: the left of '+': expected int, got 'a'"),
    "a condition that is none": ("output x int = 'a' ? 1 : 2", "1: a condition: expected bool, got 'a'"),
    "one branch of the wrong type": (
        "param a bool\noutput x int = a ? 1 : 'b'",
        "2: output 'x': expected int, got 'b'",
    ),
    "items of the wrong type": ("param a int[] = [1, 'b']", "1: an item of the default of 'a': expected int, got 'b'"),
    "no value of a type": (
        "type t = 'a' | 'b'\nparam p t = 'c'\noutput x string = p",
        "2: the default of 'p': unknown",
    ),
    "a missing property of a type": (
        "param p { a: string } = {}\noutput x object = p",
        "1: the default of 'p': 'a' is",
    ),
    "two statements on a line": ("param a int param b int", "1: syntax error: 'param b int' needs a line of its own"),
    "a word that means nothing": ("parameter a int", "1: syntax error"),
    "what the checker cannot read": ("assert a = true", "1: not understood: 'assert a = true'"),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_text_passes(name, tmp_path, check):
    file = tmp_path / "sound.bicep"
    file.write_text(dedent(SOUND[name]))
    assert check(file) == []


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_text_is_faulted(name, tmp_path, check):
    source, expected = FAULTY[name]
    file = tmp_path / "faulty.bicep"
    file.write_text(source + "\n")
    found = check(file)
    assert any(fault.startswith(f"faulty.bicep:{expected}") for fault in found), found
